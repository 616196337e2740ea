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
from pathlib import Path
from typing import Any

from langgraph.graph import StateGraph

from agents import roster
from bench.baseline import searching
from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.store import RedisStore
from guardrails import limits, policy
from models import chat
from models.registry import ModelSpec, Role, ToolMode
from server.executor import Executor, GraphExecutor
from server.graph_source import GraphSource
from server.redis_client import open_redis
from server.registry import GraphRegistry
from server.runs.admission import Admission
from server.runs.ledger import RedisRunLedgers
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.runs.worker import RunWorker
from server.team import TeamExecutor
from tests.faults import clock, graph
from tests.faults.nursery import say

WORLD = "FAULTS_WORLD"
_ROOT = Path(__file__).parent.parent.parent
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
        search = searching()
        team = TeamExecutor(
            registry=registry,
            ledgers=ledgers,
            agents=roster.build(),
            models=dict.fromkeys(Role, model),
            tools={search.name: search},
            rules=[policy.Rule(tool="*", decision=policy.Decision.ALLOW)],
            limits=_LIMITS,
        )
        records = RunRecords(
            redis,
            keys,
            lease_seconds=spec["lease"],
            admission=Admission(tenant_concurrency=spec.get("tenant_concurrency", 0)),
        )
        queue = await stack.enter_async_context(RunQueue(spec["url"], keys))
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
        )
        await stack.enter_async_context(worker)
        say(now="ready", pid=os.getpid())
        await stop.wait()
