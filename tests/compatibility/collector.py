"""A pytest plugin: notes which methods of LangGraph's clients each test calls, and proves it.

A test proves a method if it passes, and fails once the method does nothing: sends nothing and
gives back nothing. The second is tried with ``--compatibility`` only, which writes the table.
"""

from __future__ import annotations

import functools
import inspect
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from tests.compatibility import sdk

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"
FACTS = pytest.StashKey["Facts"]()
TABLE = "test_the_table_is_what_the_tests_say"
# So many tests that prove a method are enough to name.
PROOFS = 1
PATIENCE_SECONDS = 6.0

Call = tuple[str, str]
"""Which client, which method: ``("async", "threads.create")``."""


@dataclass(kw_only=True)
class Facts:
    """What was called by which test, and what came of the test."""

    test: str | None = None
    withheld: Call | None = None
    calls: dict[str, dict[Call, set[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(set))
    )
    passed: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    originals: dict[Call, Callable[..., Any]] = field(default_factory=dict)
    proofs: dict[Call, list[str]] = field(default_factory=lambda: defaultdict(list))

    def note(self, call: Call, given: set[str]) -> None:
        """A method is called, with these options."""
        if self.test is not None and self.withheld is None:
            self.calls[self.test][call] |= given

    def given(self, name: str, *, by: set[str]) -> set[str]:
        """The options of a method that passing tests among these have given it."""
        found: set[str] = set()
        for test in self.passed:
            if function_of(test) not in by:
                continue
            for (_, called), options in self.calls.get(test, {}).items():
                if called == name:
                    found |= options
        return found


def function_of(test: str) -> str:
    """A test without its parameters, of which each has to pass."""
    return test.partition("[")[0]


def _wrapped(original: Callable[..., Any], call: Call, facts: Facts) -> Callable[..., Any]:
    signature = inspect.signature(original)

    def told(args: tuple[Any, ...], options: dict[str, Any]) -> bool:
        facts.note(call, set(signature.bind_partial(*args, **options).arguments) - sdk.COMMON)
        return facts.withheld == call

    async def nothing() -> AsyncIterator[Any]:
        for one in list[Any]():
            yield one

    streams = "stream" in call[1]
    empty: Callable[[], Any] = (
        (nothing if call[0] == "async" else lambda: iter(())) if streams else lambda: None
    )

    @functools.wraps(original)
    async def awaited(*args: Any, **options: Any) -> Any:
        return empty() if told(args, options) else await original(*args, **options)

    @functools.wraps(original)
    def plain(*args: Any, **options: Any) -> Any:
        return empty() if told(args, options) else original(*args, **options)

    return awaited if inspect.iscoroutinefunction(original) else plain


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--compatibility", action="store_true", help="prove each method; write the table"
    )


def pytest_configure(config: pytest.Config) -> None:
    facts = config.stash[FACTS] = Facts()
    for (kind, part), known in sdk.CLASSES.items():
        for name, method in sdk.methods(part, kind=kind).items():
            call = (kind, f"{part}.{name}")
            facts.originals[call] = method
            setattr(known, name, _wrapped(method, call, facts))


def pytest_unconfigure(config: pytest.Config) -> None:
    for (kind, method), original in config.stash[FACTS].originals.items():
        part, _, name = method.partition(".")
        setattr(sdk.CLASSES[kind, part], name, original)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at all the others' facts comes last."""
    items.sort(key=lambda item: item.name == TABLE)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    facts = item.config.stash[FACTS]
    facts.test = item.nodeid
    try:
        return (yield)
    finally:
        if item.config.getoption("--compatibility") and item.nodeid in facts.passed:
            _prove(item, facts)
        facts.test = None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    if item.config.stash[FACTS].withheld is None:
        return (yield)
    # What waits for a thing that was not done would wait for ever.
    signal.signal(signal.SIGALRM, _too_long)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_SECONDS)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    facts = item.config.stash[FACTS]
    if facts.withheld is None:
        if report.failed:
            facts.failed.add(item.nodeid)
            facts.passed.discard(item.nodeid)
        elif report.when == "call" and report.passed and item.nodeid not in facts.failed:
            facts.passed.add(item.nodeid)
    return report


def _too_long(*_: object) -> None:
    raise TimeoutError("the test waits for what was withheld")


def _prove(item: pytest.Item, facts: Facts) -> None:
    """The same test again, once for each method that is not proved yet, with that one withheld."""
    for call in sorted(facts.calls.get(item.nodeid, {})):
        if len(facts.proofs[call]) >= PROOFS:
            continue
        facts.withheld = call
        try:
            item._initrequest()  # type: ignore[attr-defined]
            reports = runtestprotocol(item, log=False, nextitem=None)
        finally:
            facts.withheld = None
        if any(report.failed for report in reports):
            facts.proofs[call].append(function_of(item.nodeid))
