"""The OpenAPI document: complete, and true of what the server answers to whatever is asked."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from schemathesis import Config
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.engine import events, from_schema

from server.app import build
from tests.server.fuzzing.impatient import Impatient
from tests.server.surface import Parts, in_process, served

SEED = 20_261
# Uvicorn answers by itself what is no HTTP; a path or a query may not be made of everything.
NO_HTTP = b"Invalid HTTP request received."
CHECKS = {
    # An undocumented field, a name that nothing has: which values are valid is not all in schemas.
    "positive_data_acceptance": {"enabled": False},
    # Swagger's page and a page's preflight are served beside the documented routes.
    "unsupported_method": {"enabled": False},
    "allow_header_conformance": {"enabled": False},
}


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_every_route_is_described_with_its_parameters_and_its_errors(app: FastAPI) -> None:
    document = app.openapi()
    tags = {tag["name"] for tag in document["tags"]}
    poor = []
    for name, operation in operations(document):
        told = operation["responses"]
        errors = [code for code in told if code >= "400"]
        if not (operation.get("summary") and operation.get("description")):
            poor.append(f"{name} has no words")
        if not set(operation["tags"]) <= tags:
            poor.append(f"{name} has an unknown tag")
        poor += [
            f"{name} does not say what {parameter['name']} is"
            for parameter in operation.get("parameters", ())
            if not parameter.get("description")
        ]
        poor += [
            f"{name} shows no shape of {code}"
            for code in errors
            if told[code]["content"]["application/json"]["schema"]
            != {"$ref": "#/components/schemas/Problem"}
        ]
        if name not in {"GET /ok", "GET /"} and "401" not in errors:
            poor.append(f"{name} does not say that it needs a key")
    assert poor == []


def test_every_reference_in_the_document_leads_somewhere(app: FastAPI) -> None:
    document = app.openapi()
    names = set(re.findall(r'"\$ref": "([^"]*)"', json.dumps(document)))
    for name in names:
        found: Any = document
        for part in name.removeprefix("#/").split("/"):
            assert part in found, name
            found = found[part]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/audit/export", "after"),
        ("/audit", "before"),
        ("/audit/verify", "seq"),
        ("/approvals", "offset"),
        ("/admin/runs", "offset"),
    ],
)
async def test_a_number_that_redis_cannot_count_to_is_refused(
    app: FastAPI, path: str, name: str
) -> None:
    async with in_process(app) as client:
        reply = await client.get(path, params={name: 2**86, "hash": "0" * 64})
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(f"{name}:")


def findings(document: dict[str, Any], url: str, *, examples: int, phases: list[str]) -> list[str]:
    """Each thing that is wrong, once, in a line or two."""
    config: dict[str, Any] = {
        "base-url": url,
        "seed": SEED,
        "workers": 1,
        "request-timeout": 10,
        "continue-on-failure": True,
        "generation": {
            "max-examples": examples,
            "deterministic": True,
            "database": "none",
            "no-shrink": True,
        },
        "phases": {
            name: {"enabled": name in phases}
            for name in ("examples", "coverage", "fuzzing", "stateful")
        },
        "checks": CHECKS,
    }
    schema = schemathesis.openapi.from_dict(document, config=Config.from_dict(config))
    found: dict[tuple[str, str], str] = {}
    tried: Counter[str] = Counter()
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished(recorder=recorder):
                tried[recorder.label] += len(recorder.interactions)
                for case_id, checks in recorder.checks.items():
                    interaction = recorder.interactions.get(case_id)
                    response = interaction.response if interaction else None
                    for check in checks:
                        if check.failure_info is None:
                            continue
                        failure = check.failure_info.failure
                        if is_meant(failure) or (response and response.content == NO_HTTP):
                            continue
                        text = f"{failure.message}\n{check.failure_info.code_sample}"
                        if response is not None:
                            text += f"\n{response.status_code} {response.content[:300]!r}"
                        found.setdefault((recorder.label, failure.title), text)
            case events.NonFatalError(label=label, info=info):
                found.setdefault((label, "error"), str(info))
            case events.FatalError(exception=error):
                raise error
    untried = {name for name, _ in operations(document)} - set(tried)
    assert untried == set()
    return [f"{label}: {title}\n{text}" for (label, title), text in found.items()]


def is_meant(failure: Failure) -> bool:
    """Whether it is our leniency: `"5"` and `5.0` are taken as a number, `1` and `"no"` as a truth
    value, as clients in several languages spell them.
    """
    lenient = ("Incorrect type", "violates `anyOf`")
    return isinstance(failure, AcceptedNegativeData) and any(
        word in failure.message for word in lenient
    )


def asked_at_once(document: dict[str, Any]) -> dict[str, Any]:
    """A document without the delay of runs, which a run that is waited for would take."""
    whole: dict[str, Any] = json.loads(json.dumps(document))
    for schema in whole["components"]["schemas"].values():
        schema.get("properties", {}).pop("after_seconds", None)
    return whole


async def fuzzed(parts: Parts, *, examples: int, phases: list[str]) -> list[str]:
    app = build(parts, heartbeat=0.05)
    document = asked_at_once(app.openapi())
    async with served(Impatient(app)) as url:
        return await asyncio.to_thread(findings, document, url, examples=examples, phases=phases)


@pytest.mark.siege
@pytest.mark.usefixtures("worker")
@pytest.mark.timeout(180)
async def test_whatever_is_asked_the_answer_is_as_documented_and_no_fault_of_ours(
    parts: Parts,
) -> None:
    found = await fuzzed(parts, examples=3, phases=["fuzzing"])
    assert not found, "\n\n".join(found)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
@pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.usefixtures("worker")
@pytest.mark.timeout(3600)
async def test_the_same_with_every_bound_and_many_more_requests(parts: Parts) -> None:
    found = await fuzzed(parts, examples=40, phases=["examples", "coverage", "fuzzing", "stateful"])
    assert not found, "\n\n".join(found)
