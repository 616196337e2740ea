"""A team at work that is traced: a plan, an agent with a tool, an approval, a retry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from graphs import events
from graphs.keys import Keys
from models.chat import Reply
from models.scripted import Scripted, ScriptedModel
from server.runs.emitter import Emit
from server.runs.record import RunRecord
from server.telemetry.content import Content
from server.telemetry.hearing import Listeners
from server.telemetry.kept import RedisTraces
from server.telemetry.otlp import Exporting
from server.telemetry.tracing import Tracing
from tests.graphs.team_house import PLAN_RESEARCH
from tests.server.people import People, at_work
from tests.server.surface import Parts

TOOLS = ("refund", "update_ticket", "search_documents")


class Cut(ScriptedModel):
    """A model whose first ``cuts`` calls of the researcher never come back."""

    def __init__(self, steps: Sequence[Scripted]) -> None:
        super().__init__(steps=steps)
        self.cuts = 0
        self.began = asyncio.Event()

    async def call(self, *args: Any, **options: Any) -> Reply:
        if options["agent"] == "researcher" and self.cuts > 0:
            self.cuts -= 1
            self.began.set()
            await asyncio.Event().wait()
        return await super().call(*args, **options)


def refunding(*, note: str = "7", answer: str = "Order 7 is refunded.") -> Cut:
    """Plans, searches, wants a refund, and says so when it is done."""
    return Cut(
        steps=[
            Scripted(agent="coordinator", answer=PLAN_RESEARCH),
            Scripted(agent="researcher", calls=(("refund", {"order": note, "amount": 200}),)),
            Scripted(agent="researcher", contains="refund done", answer=answer),
        ]
    )


@dataclass
class Dying:
    """An executor that loses Redis while a call of the model does not come back."""

    inner: Any
    model: Cut

    async def __call__(self, record: RunRecord, emit: Emit, /) -> events.Outcome:
        work = asyncio.ensure_future(self.inner(record, emit))
        if not self.model.cuts:
            outcome: events.Outcome = await work
            return outcome
        await self.model.began.wait()
        # What was told before the call is heard: nothing else goes on.
        for _ in range(100):
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        raise RedisConnectionError("the worker lost Redis")


@dataclass(kw_only=True)
class Traced:
    """Who is traced, and what came of it."""

    people: People
    tracing: Tracing
    exporter: InMemorySpanExporter
    exporting: Exporting

    async def spans(self, run_id: str) -> list[Mapping[str, Any]]:
        """A run's spans, as anybody gets them."""
        reply = await self.people.client.get(f"/runs/{run_id}/trace")
        assert reply.status_code == 200, reply.text
        found: list[Mapping[str, Any]] = reply.json()["spans"]
        return found

    async def exported(self) -> Sequence[Any]:
        """All that was sent."""
        await self.tracing.flush()
        await asyncio.to_thread(self.exporting.flush)
        return self.exporter.get_finished_spans()


@asynccontextmanager
async def traced(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    model: Cut,
    *,
    content: Content = Content.OFF,
    deaths: int = 0,
) -> AsyncIterator[Traced]:
    """The team at work, traced into Redis and into memory."""
    exporter = InMemorySpanExporter()
    exporting = Exporting(exporter)
    tracing = Tracing(
        kept=RedisTraces(redis, keys), exporting=exporting, tools=TOOLS, content=content
    )
    model.cuts = deaths
    runs = parts.runs
    runs._created = tracing.created
    async with (
        tracing,
        at_work(
            Parts(**{**vars(parts), "tracing": tracing}),
            redis,
            keys,
            model,
            listeners=Listeners([tracing]),
            around=lambda inner: Dying(inner, model),
        ) as people,
    ):
        yield Traced(people=people, tracing=tracing, exporter=exporter, exporting=exporting)


def shape(spans: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tree as lines: names and what is linked, in order, without times and ids."""
    names = {one["id"]: one["name"] for one in spans}
    lines = []

    def walk(parent: str, depth: int) -> None:
        for one in [one for one in spans if one["parent"] == parent]:
            links = "".join(
                f" ->{link['why']}:{names.get(link['span_id'], '?')}" for link in one["links"]
            )
            error = f" !{one['error']}" if one["error"] else ""
            lines.append("  " * depth + one["name"] + error + links)
            walk(one["id"], depth + 1)

    walk("", 0)
    return lines
