"""docs/compatibility.md: written out of what the tests did, and read back. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from tests.compatibility import sdk
from tests.compatibility.claims import CLAIMS

Proofs = Mapping[tuple[str, str], Sequence[str]]
"""By client and method: the tests that prove it."""

INTRODUCTION = """\
# Compatibility

What unmodified clients can rely on. `make compatibility` writes this page and `make test` fails
where it is not true; the hand-written words in it are in `tests/compatibility/`.

## LangGraph's Python SDK

`get_client(url=...)` and `get_sync_client(url=...)`, method by method, over a socket against the
server with real Redis. A method *works* if a test passes that fails once the method does nothing:
sends nothing, gives back nothing. The methods are found in the installed SDK, so that one it gains
is a failure here until it works or stands as *not offered*.
"""

OTHERS = """\
## Other clients

What they send and need, and the test of it. The clients themselves, which are pages for a browser,
do not run in the tests.
"""


def counts(proofs: Proofs) -> str:
    """How many methods work, as a sentence."""
    names = list(sdk.names())
    working = [name for name in names if all(proofs.get((kind, name)) for kind in sdk.KINDS)]
    limited = [name for name in working if name in sdk.LIMITS]
    left = f"; {len(sdk.NOT_OFFERED)} is not offered" if sdk.NOT_OFFERED else ""
    return (
        f"Of {len(names)} methods {len(working)} work with both clients, {len(limited)} of them "
        f"with a limit that is named{left}."
    )


def rendered(proofs: Proofs, given: Callable[[str], set[str]]) -> str:
    """The whole page. ``given``: which options of a method the proving tests have given it."""
    lines = [INTRODUCTION, counts(proofs), ""]
    for part in sdk.PARTS:
        lines += [
            f"### {part}",
            "",
            "| method | async | sync | proved by | limits; options that these tests do not give |",
            "| --- | --- | --- | --- | --- |",
        ]
        lines += [_row(name, proofs, given) for name in sdk.names() if name.startswith(f"{part}.")]
        lines.append("")
    lines += [OTHERS, "| client | does | test |", "| --- | --- | --- |"]
    lines += [f"| {claim.client} | {claim.does} | `{claim.test}` |" for claim in CLAIMS]
    return "\n".join(lines) + "\n"


def _row(name: str, proofs: Proofs, given: Callable[[str], set[str]]) -> str:
    if name in sdk.NOT_OFFERED:
        return f"| `{name}` | not offered | not offered | | {sdk.NOT_OFFERED[name]} |"
    states, tests = [], []
    for kind in sdk.KINDS:
        found = proofs.get((kind, name), ())
        states.append("works" if found else "**no test proves it**")
        tests += [f"`{test}`" for test in found]
    unused = sorted(sdk.options(name) - given(name))
    told = [sdk.LIMITS.get(name, ""), ", ".join(f"`{option}`" for option in unused)]
    return (
        f"| `{name}` | {states[0]} | {states[1]} | {', '.join(dict.fromkeys(tests))} "
        f"| {' '.join(filter(None, told))} |"
    )


def parsed(page: str) -> dict[tuple[str, str], list[str]]:
    """The proofs that a page names; a test in a row counts for each client that works."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in re.findall(r"^\| `(\w+\.\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", page, re.M):
        name, *states, tests = row
        for kind, state in zip(sdk.KINDS, states, strict=True):
            if state == "works":
                found[kind, name] = re.findall(r"`([^`]*)`", tests)
    return found
