"""Runs and their workers with nothing else around them, and work that a test can hold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

from graphs import events
from graphs.event_log import EventLog
from server.runs.asked import Asked, of_messages
from server.runs.emitter import Emit
from server.runs.queue import RunQueue
from server.runs.record import RunRecord
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.transitions import RunStatus
from server.runs.worker import Executor, RunWorker

PENDING = frozenset({RunStatus.PENDING})
RUNNING = frozenset({RunStatus.RUNNING})
END = {"type": "run.finished", "answer": "done"}
PAUSE = {"type": "run.interrupted", "interrupts": []}


async def stored(
    records: RunRecords, run_id: str = "r", thread_id: str = "t", **options: Any
) -> RunRecord:
    asked = options.pop("asked", Asked())
    run = RunRecord(run_id=run_id, thread_id=thread_id, asked=asked)
    return (await records.create(run, **options)).record


async def success(records: RunRecords, run_id: str = "r", **options: Any) -> None:
    await records.move(run_id, expected=RUNNING, to=RunStatus.SUCCESS, told=END, **options)


async def in_thread(records: RunRecords, thread_id: str = "t") -> Sequence[str]:
    return [record.run_id async for record in records.of_thread(thread_id)]


def finished(answer: str = "done") -> events.RunFinished:
    return events.RunFinished(answer=answer, stop_reason="answered", usage=events.Usage())


async def answer_at_once(record: RunRecord, emit: Emit) -> events.RunFinished:
    emit(events.AgentStarted(agent="researcher", task_id="1", instruction="look"))
    return finished(f"to {record.asked.messages[0]['content']}")


@dataclass
class Held:
    """Work that goes on until it is let go."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    cleaned: bool = False

    async def __call__(self, record: RunRecord, emit: Emit) -> events.RunFinished:
        emit(
            events.ModelCalled(
                agent="a",
                task_id="1",
                model="m",
                input_tokens=7,
                output_tokens=3,
                cost=0,
                seconds=0,
            )
        )
        self.begun.set()
        try:
            await self.let_go.wait()
        finally:
            await asyncio.sleep(0)
            self.cleaned = True
        return finished()


@dataclass
class Steps:
    """What a saver would be asked to delete."""

    runs: list[str] = field(default_factory=list)
    threads: list[str] = field(default_factory=list)
    prunes_at_end: bool = False

    async def retain(self, thread_id: str, /, *, fence: str) -> int:
        raise AssertionError(f"{thread_id} is not to be pruned under {fence}")

    async def adelete_for_runs(self, run_ids: Sequence[str], /) -> None:
        self.runs += run_ids

    async def adelete_thread(self, thread_id: str, /) -> None:
        self.threads.append(thread_id)


@dataclass(frozen=True, kw_only=True)
class House:
    records: RunRecords
    log: EventLog
    queue: RunQueue
    runs: Runs

    def worker(self, executor: Executor, **options: Any) -> RunWorker:
        return RunWorker(
            records=self.records, log=self.log, queue=self.queue, executor=executor, **options
        )

    async def ask(
        self, content: str = "you", *, temporary: bool = False, **options: Any
    ) -> RunRecord:
        asked = of_messages([{"role": "user", "content": content}])
        return await self.runs.create(replace(asked, temporary=temporary), **options)

    async def ended(self, run_id: str) -> RunRecord:
        async with asyncio.timeout(30):
            return await self.runs.wait(run_id)

    async def told(self, run_id: str) -> list[str]:
        async with asyncio.timeout(30), aclosing(cast("Any", self.runs.events(run_id))) as entries:
            return [entry.event["type"] async for entry in entries]
