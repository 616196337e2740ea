"""One server's graphs at work without its queue, for tests of the executor."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from redis.asyncio import Redis

from graphs import events
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.store import RedisStore
from guardrails.limits import Limits
from server.executor import GraphExecutor
from server.graph_types import classes_of
from server.registry import GraphRegistry, Served
from server.runs.asked import Asked
from server.runs.ledger import RedisRunLedgers
from server.runs.record import RunRecord
from tests.server.graphs import app

SAID = {"messages": [{"role": "user", "content": "hi"}]}
LIMITS = Limits(steps=10, tokens=1000, cost=1, seconds=30)


class Desk:
    """One server's graphs, and what a run tells."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis, self._keys = redis, keys
        self.saver = RedisSaver(redis, keys)
        self.registry = GraphRegistry(saver=self.saver, store=RedisStore(redis, keys))
        self.ledgers = RedisRunLedgers(redis, keys)
        self.witness = app.Witness()
        self.told: list[Any] = []

    def serve(self, graph: Any) -> None:
        """Under the name ``mine``."""
        made = graph.compile() if hasattr(graph, "compile") else graph
        saver = self.saver.with_allowlist(classes_of(made))
        self.registry._served["mine"] = Served(name="mine", description="", made=made, saver=saver)

    async def run(
        self,
        given: Any = None,
        *,
        run_id: str = "r",
        token: int = 1,
        resume: Any = None,
        resumes: int = 0,
        result: Mapping[str, Any] | None = None,
        limits: Limits = LIMITS,
        **asked: Any,
    ) -> events.Outcome:
        record = RunRecord(
            run_id=run_id,
            thread_id="t",
            asked=Asked(graph="mine", assistant_id="an-assistant", input=given, **asked),
            token=token,
            resume=resume,
            resumes=resumes,
            result=result,
        )
        await self._redis.set(self._keys.fence(record.checkpoint_thread), record.fence)
        executor = GraphExecutor(registry=self.registry, ledgers=self.ledgers, limits=limits)
        return await executor(record, self.told.append)

    async def dies(self, given: Any = None, **options: Any) -> None:
        """A run whose worker dies while a node is held."""
        work = asyncio.create_task(self.run(given, **options))
        async with asyncio.timeout(30):
            await self.witness.holding.wait()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        self.witness.hold.clear()

    async def done(self) -> list[str]:
        async with self.registry.open("mine", tenant="default") as graph:
            state = await graph.aget_state({"configurable": {"thread_id": "t"}})
        return cast("list[str]", state.values["done"])

    def modes(self) -> set[str]:
        return {chunk.mode for chunk in self.told}


def paused(outcome: events.Outcome) -> events.RunInterrupted:
    assert isinstance(outcome, events.RunInterrupted), outcome
    return outcome


def finished(outcome: events.Outcome) -> events.RunFinished:
    assert isinstance(outcome, events.RunFinished), outcome
    return outcome


def failure(outcome: events.Outcome) -> events.RunFailed:
    assert isinstance(outcome, events.RunFailed), outcome
    return outcome
