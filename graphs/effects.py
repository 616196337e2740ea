"""What a run's tools do to the world, noted before and after, so that nothing happens twice.

A call that writes is noted as intended, then as done with its result. Who finds it intended and
not done does not know whether it happened: one that may be repeated is, under the same key; one
that may not is a person's to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from tools.tool import Effect, ToolResult


class Intention(StrEnum):
    """How a call stands that is about to be made."""

    FRESH = "fresh"
    """It was never begun."""
    REPEAT = "repeat"
    """It was begun, and may be made again under its key."""
    DONE = "done"
    """It was made; its result is known."""
    UNKNOWN = "unknown"
    """It was begun, may have happened, and may not be made again."""


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What to do about a call; ``result`` is there where it is done."""

    state: Intention
    result: ToolResult | None = None


class Effects(Protocol):
    """The notes of one run. Both raise graphs.fence.FencedError for who lost the run."""

    async def intend(self, key: str, *, tool: str, digest: str, effect: Effect) -> Intent:
        """Note that a call is about to be made. ``key`` names it through all attempts."""
        ...

    async def done(self, key: str, result: ToolResult) -> None:
        """Note that it was made, and what came of it."""
        ...


@dataclass(kw_only=True)
class MemoryEffects:
    """The twin without Redis."""

    notes: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def intend(self, key: str, *, tool: str, digest: str, effect: Effect) -> Intent:
        known = self.notes.get(key)
        self.notes.setdefault(key, {"tool": tool, "digest": digest})
        return intent_of(known, effect=effect)

    async def done(self, key: str, result: ToolResult) -> None:
        self.notes[key]["result"] = stored(result)


def intent_of(known: Mapping[str, Any] | None, *, effect: Effect) -> Intent:
    """What the note that was there before says about a call."""
    if known is None:
        return Intent(state=Intention.FRESH)
    if known.get("result") is not None:
        return Intent(state=Intention.DONE, result=restored(known["result"]))
    once = effect is Effect.WRITES_ONCE
    return Intent(state=Intention.UNKNOWN if once else Intention.REPEAT)


def stored(result: ToolResult) -> dict[str, Any]:
    """A result as plain data."""
    return {
        "content": result.content,
        "ok": result.ok,
        "evidence": [dict(one) for one in result.evidence],
        "data": dict(result.data),
    }


def restored(stored: Mapping[str, Any]) -> ToolResult:
    """The reverse of ``stored``."""
    return ToolResult(
        content=str(stored["content"]),
        ok=bool(stored["ok"]),
        evidence=tuple(stored.get("evidence") or ()),
        data=dict(stored.get("data") or {}),
    )
