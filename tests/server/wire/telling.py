"""Runs that are told by hand: a record that needs no store, and a log that is all there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from graphs.event_log import START, Entry, gap, position
from graphs.keys import DEFAULT_TENANT
from server.runs.asked import Asked
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.transitions import RunStatus
from server.wire.rendering import Wish, ending
from server.wire.rendering_ids import parsed
from server.wire.run_stream import Screens, follow

RUN = "3f2a5c1e-8a0b-4f0e-9d55-6c8c5f8b2a11"
THREAD = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"

Event = Mapping[str, Any]


def record(*, graph: str = "echo", **more: Any) -> RunRecord:
    asked = Asked(graph=graph, **more)
    return RunRecord(run_id=RUN, thread_id=THREAD, asked=asked, status=RunStatus.RUNNING)


def chunk(mode: str, data: Any, *ns: str) -> Event:
    return {"type": "graph.chunk", "mode": mode, "ns": list(ns), "data": data}


def piece(text: str, *ns: str, id: str = "m1", **more: Any) -> Event:  # noqa: A002
    message = {"type": "AIMessageChunk", "id": id, "content": text, **more}
    return chunk("messages", [message, {"langgraph_node": "model"}], *ns)


STARTED: Event = {"type": "run.started", "attempt": 1}
FINISHED: Event = {"type": "run.finished", "answer": "", "stop_reason": "answered", "usage": {}}
QUESTIONS = [{"id": "i1", "value": "Shall I?"}]
PAUSED: Event = {"type": "run.interrupted", "interrupts": QUESTIONS}
FAILED: Event = {"type": "run.failed", "error": "ModelTimeout", "message": "It is slow; wait."}


@dataclass(kw_only=True)
class ToldRuns:
    """What a stream needs of the runs: one run, whose events are these.

    ``at_once`` of them are written in one millisecond each; the first ``trimmed`` are gone.
    """

    story: Sequence[Event]
    record: RunRecord = field(default_factory=record)
    at_once: int = 2
    trimmed: int = 0
    reads: list[str] = field(default_factory=list)

    @property
    def entries(self) -> list[Entry]:
        return [
            Entry(
                id=f"{1000 + number // self.at_once}-{number % self.at_once}",
                run_id=RUN,
                event=orjson.loads(orjson.dumps(event)),
            )
            for number, event in enumerate(self.story)
        ]

    async def events(self, run_id: str, *, after: str = START) -> AsyncIterator[Entry]:
        assert run_id == RUN
        self.reads.append(after)
        gone, left = self.entries[: self.trimmed], self.entries[self.trimmed :]
        if gone and position(after) < position(gone[-1].id):
            yield gap(after=after, trimmed=gone[-1].id)
        for entry in left:
            if position(entry.id) > position(after):
                yield entry

    def thread_events(
        self, thread_id: str, *, tenant: str = DEFAULT_TENANT, after: str = START
    ) -> AsyncIterator[Entry]:
        assert (thread_id, tenant) == (THREAD, self.record.tenant)
        return self.events(RUN, after=after)

    async def get(self, run_id: str, *, tenant: str = DEFAULT_TENANT) -> RunRecord:
        if run_id != RUN or tenant != self.record.tenant:
            raise RunNotFoundError(run_id)
        last = self.story[-1] if self.story else {}
        match last.get("type"):
            case "run.finished" | "run.failed":
                return replace(self.record, status=ending(last), result=last)
            case "run.interrupted":
                return replace(self.record, status=RunStatus.INTERRUPTED, result=last)
            case _:
                return self.record


async def streamed(
    runs: ToldRuns,
    *modes: str,
    subgraphs: bool = False,
    last_event_id: str | None = None,
    screens: Screens | None = None,
) -> bytes:
    """All that a reader is sent from behind an id."""
    wish = Wish(modes=frozenset(modes), subgraphs=subgraphs)
    frames = follow(
        runs, runs.record, wish, screens=screens or Screens(), after=parsed(last_event_id)
    )
    return b"".join([frame async for frame in frames])
