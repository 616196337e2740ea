"""From a run to its log: the first at once, the rest in batches, nothing once it is another's."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from graphs import events
from graphs.event_log import ThreadLog
from graphs.fence import FencedError
from server.runs.emitter import Emitter
from server.runs.record import RunRecord

RECORD = RunRecord(run_id="r", thread_id="t", tenant="acme", token=3)


class Slow:
    """A log whose writes end when they are let to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.fences: list[str] = []
        self.let_go = asyncio.Event()
        self.error: Exception | None = None

    async def append(
        self,
        thread_id: str,
        run_id: str,
        batch: Sequence[Mapping[str, Any]],
        *,
        tenant: str,
        fence: str,
    ) -> list[str]:
        assert (thread_id, run_id, tenant) == ("t", "r", "acme")
        self.batches.append([event.get("instruction", "") for event in batch])
        self.fences.append(fence)
        await self.let_go.wait()
        if self.error is not None:
            raise self.error
        return []


def event(words: str) -> events.AgentStarted:
    return events.AgentStarted(agent="a", task_id="1", instruction=words)


async def test_what_comes_during_a_write_goes_together() -> None:
    log = Slow()
    emitter = Emitter(cast("ThreadLog", log), RECORD)
    emitter.emit(event("1"))
    await asyncio.sleep(0)
    for words in ("2", "3", "4"):
        emitter.emit(event(words))
    log.let_go.set()
    await emitter.drain()
    assert log.batches == [["1"], ["2", "3", "4"]]
    assert set(log.fences) == {RECORD.fence} == {"r:3"}


async def test_after_a_refusal_nothing_is_written() -> None:
    log, told = Slow(), []
    log.error = FencedError("another")
    log.let_go.set()
    emitter = Emitter(cast("ThreadLog", log), RECORD, fenced=lambda: told.append("fenced"))
    emitter.emit(event("1"))
    with pytest.raises(FencedError):
        await emitter.drain()
    emitter.emit(event("2"))
    with pytest.raises(FencedError):
        await emitter.drain()
    assert (log.batches, told) == ([["1"]], ["fenced"])


async def test_usage_is_counted_from_what_is_told() -> None:
    log = Slow()
    log.let_go.set()
    emitter = Emitter(cast("ThreadLog", log), RECORD)
    for tokens in (3, 4):
        emitter.emit(
            events.ModelCalled(
                agent="a",
                task_id="1",
                model="m",
                input_tokens=tokens,
                output_tokens=1,
                cost=0.5,
                seconds=0,
            )
        )
    await emitter.drain()
    used = emitter.usage
    assert (used.model_calls, used.input_tokens, used.output_tokens, used.cost) == (2, 7, 2, 1.0)
