"""docs/compatibility.md is what the tests of this session say."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from langgraph_sdk import get_client, get_sync_client

from tests.compatibility import sdk, table
from tests.compatibility.claims import CLAIMS, Claim
from tests.compatibility.collector import DOCUMENT, FACTS, Facts, function_of
from tests.conftest import PROVED

ROOT = DOCUMENT.parents[1]
REMEDY = "docs/compatibility.md is not what the tests say: run `make compatibility`"


@pytest.fixture
def facts(request: pytest.FixtureRequest) -> Facts:
    return request.config.stash[FACTS]


def named_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def public(thing: object) -> set[str]:
    """Its names that are for all, inherited ones too."""
    return {name for name in dir(thing) if not name.startswith("_")}


def page_of(facts: Facts, proofs: table.Proofs) -> str:
    by = {test for tests in proofs.values() for test in tests}
    return table.rendered(proofs, lambda name: facts.given(name, by=by))


def test_every_method_of_the_installed_clients_has_its_row(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--compatibility"):
        pytest.skip("the table is about to be written")
    proofs = table.parsed(DOCUMENT.read_text("utf-8"))
    for kind in sdk.KINDS:
        named = {name for its_kind, name in proofs if its_kind == kind}
        assert named | set(sdk.NOT_OFFERED) == set(sdk.names()), REMEDY
        assert named & set(sdk.NOT_OFFERED) == set()
    assert set(sdk.NOT_OFFERED) | set(sdk.LIMITS) <= set(sdk.names())


def test_both_clients_have_the_same_methods() -> None:
    for part in sdk.PARTS:
        assert set(sdk.methods(part, kind="async")) == set(sdk.methods(part, kind="sync"))


def test_nothing_public_of_the_clients_is_overlooked() -> None:
    # What is neither of a resource is the connection itself.
    ways = {"http", "close", "aclose"}
    clients = {"async": get_client(url="http://test"), "sync": get_sync_client(url="http://test")}
    for kind, client in clients.items():
        assert public(client) - ways == set(sdk.PARTS)
        for part in sdk.PARTS:
            assert type(getattr(client, part)) is sdk.CLASSES[kind, part]
            assert public(sdk.CLASSES[kind, part]) == set(sdk.methods(part, kind=kind))


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: f"{claim.client}: {claim.does}"[:60])
def test_every_claim_about_another_client_names_a_test(claim: Claim) -> None:
    path, _, name = claim.test.partition("::")
    assert name in named_in(ROOT / path)


def test_the_table_is_what_the_tests_say(facts: Facts, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--compatibility"):
        DOCUMENT.write_text(page_of(facts, facts.proofs), "utf-8")
        unproved = [
            call
            for kind in sdk.KINDS
            for name in sdk.names()
            if not facts.proofs[call := (kind, name)] and name not in sdk.NOT_OFFERED
        ]
        assert unproved == []
        return
    page = DOCUMENT.read_text("utf-8")
    proofs = table.parsed(page)
    named = {test for tests in proofs.values() for test in tests}
    assert {test.partition("::")[0] for test in named} <= set(PROVED)
    if named - {function_of(test) for test in facts.passed | facts.failed}:
        pytest.skip("not all of the tests that the table names are in this session")
    called = {
        (function_of(test), call) for test in facts.passed for call in facts.calls.get(test, {})
    }
    stale = [call for call, tests in proofs.items() if not {(t, call) for t in tests} & called]
    assert stale == [], REMEDY
    assert {function_of(test) for test in facts.failed} & named == set()
    assert page_of(facts, proofs) == page, REMEDY
