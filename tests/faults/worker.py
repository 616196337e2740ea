"""A worker process of the tests: the real worker and executors, with a short lease and a graph
whose steps can be held.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from langgraph.graph import StateGraph

from agents import roster
from bench.baseline import searching
from graphs import events
from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.store import RedisStore
from guardrails import limits
from models import chat
from models.registry import ModelSpec, Role, ToolMode
from server.approvals.sweeper import ApprovalSweeper, swept
from server.executor import Executor, GraphExecutor
from server.graph_source import GraphSource
from server.pauses import Pauses
from server.permits import QueuePermits
from server.redis_client import open_redis
from server.registry import GraphRegistry
from server.runs.admission import Admission
from server.runs.effects import RedisEffects
from server.runs.ledger import RedisRunLedgers
from server.runs.queue import RunQueue
from server.runs.record import RunRecord
from server.runs.records import RunRecords
from server.runs.worker import RunWorker
from server.team import TeamExecutor
from tests.faults import clock, graph, tools
from tests.faults.nursery import say
from tests.faults.queue import approvals_of
from tests.faults.world import Phase, Place, World

WORLD = "FAULTS_WORLD"
_ROOT = Path(__file__).parent.parent.parent
SWEEP_SECONDS = 0.3
ASKED = "asked"
"""The step at which a thread is held when what it asks is in the queue and it is not yet paused."""
_LIMITS = limits.Limits(steps=60, tokens=200_000, cost=1.0, seconds=600.0)


@asynccontextmanager
async def work() -> AsyncIterator[StateGraph[Any, Any, Any, Any]]:
    """The graph, with a client of the world that FAULTS_WORLD names: a user's factory."""
    world = open_redis(os.environ[WORLD])
    try:
        yield graph.build(world)
    finally:
        await world.aclose()


def main(spec: dict[str, Any]) -> int:
    """Work until SIGTERM; 0 after a drained end."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    if off := spec.get("skew"):
        clock.skew(float(off))
    os.environ[WORLD] = spec["world"]
    asyncio.run(_work(spec))
    return 0


async def _work(spec: dict[str, Any]) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    keys = Keys()
    async with AsyncExitStack() as stack:
        redis = open_redis(spec["url"])
        stack.push_async_callback(redis.aclose)
        world = open_redis(spec["world"])
        stack.push_async_callback(world.aclose)
        saver = graph.HeldSaver(redis, keys, world=world)
        ledgers = RedisRunLedgers(redis, keys)
        source = GraphSource(name="work", target="tests.faults.worker:work", folder=_ROOT)
        store = RedisStore(redis, keys)
        registry = await stack.enter_async_context(
            GraphRegistry(saver=saver, store=store, sources=[source])
        )
        model = chat.build(
            ModelSpec(
                name="provider",
                model="provider",
                url=spec["model_url"],
                tools=ToolMode.NATIVE,
                input_price=0.0,
                output_price=0.0,
                timeout=spec.get("model_timeout", 20.0),
            )
        )
        stack.push_async_callback(model.aclose)
        records = RunRecords(
            redis,
            keys,
            lease_seconds=spec["lease"],
            max_attempts=spec.get("max_attempts", 3),
            admission=Admission(tenant_concurrency=spec.get("tenant_concurrency", 0)),
        )
        queue = await stack.enter_async_context(RunQueue(spec["url"], keys))
        approvals = approvals_of(redis, keys, queue, records=records)
        team = TeamExecutor(
            registry=registry,
            ledgers=ledgers,
            agents=tools.armed(roster.build()),
            models=dict.fromkeys(Role, model),
            tools={tool.name: tool for tool in (searching(), *tools.writing(World(world)))},
            rules=tools.RULES,
            limits=_LIMITS,
            permits=partial(QueuePermits, approvals),
            effects=partial(RedisEffects, redis, keys),
        )
        worker = RunWorker(
            records=records,
            log=EventLog(redis, keys),
            queue=queue,
            executor=Executor(
                team_executor=team,
                graph_executor=GraphExecutor(registry=registry, ledgers=ledgers, limits=_LIMITS),
            ),
            steps=saver,
            concurrency=spec.get("concurrency", 4),
            grace_seconds=spec.get("grace", 3.0),
            sole_owner=False,
            on_pause=partial(_paused, Pauses(approvals, rules=tools.RULES), World(world)),
        )
        await stack.enter_async_context(worker)
        sweeper = ApprovalSweeper(approvals)
        await stack.enter_async_context(swept(sweeper, every_seconds=SWEEP_SECONDS))
        say(now="ready", pid=os.getpid())
        await stop.wait()


async def _paused(
    asking: Pauses, world: World, record: RunRecord, paused: events.RunInterrupted
) -> None:
    await asking(record, paused)
    await graph.hold(world, Place(run=record.thread_id, step=ASKED, phase=Phase.AFTER))
