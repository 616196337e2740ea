"""A thread that keeps its latest step alone keeps all of them until its run is over."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from langchain_core.runnables import RunnableConfig
from redis.asyncio import Redis

from graphs.keys import Keys, thread_name
from graphs.retention import KeepLatestAtEnd
from graphs.saver import RedisSaver
from server.executor import Executor, GraphExecutor
from server.house import limits_of
from server.runs.ledger import RedisRunLedgers
from server.runs.worker import RunWorker
from tests.server.asking import RUNS, steps
from tests.server.served_graphs import gates
from tests.server.surface import Parts, Team, in_process


@pytest.fixture
def saver(redis: Redis, keys: Keys) -> RedisSaver:
    return RedisSaver(redis, keys, retention=KeepLatestAtEnd())


@pytest.fixture
async def client(
    app: FastAPI, parts: Parts, redis: Redis, keys: Keys, saver: RedisSaver
) -> AsyncIterator[httpx.AsyncClient]:
    executor = GraphExecutor(
        registry=parts.registry,
        ledgers=RedisRunLedgers(redis, keys),
        limits=limits_of(parts.settings),
    )
    async with (
        RunWorker(
            records=parts.records,
            log=parts.log,
            queue=parts.queue,
            executor=Executor(team_executor=Team(), graph_executor=executor),
            steps=saver,
            grace_seconds=0,
        ),
        in_process(app) as made,
    ):
        yield made


async def test_latest_means_the_last_step_of_a_finished_run_and_all_of_a_paused_one(
    client: httpx.AsyncClient, saver: RedisSaver
) -> None:
    kept = {}
    for graph in ("writes", "asks"):
        thread = (await client.post("/threads", json={})).json()["thread_id"]
        await client.post(f"/threads/{thread}/runs/wait", json=steps(graph))
        config: RunnableConfig = {"configurable": {"thread_id": thread_name("default", thread)}}
        kept[graph] = len([one async for one in saver.alist(config)])
    assert kept["writes"] == 1
    assert kept["asks"] > 1


async def test_a_run_that_is_taken_back_leaves_the_last_step_before_it(
    client: httpx.AsyncClient,
) -> None:
    await client.post(f"{RUNS}/wait", json=steps("writes"))
    gate = gates["taken back"]
    body = {"assistant_id": "gated", "input": {"steps": [], "gate": "taken back"}}
    run_id = (await client.post(RUNS, json=body)).json()["run_id"]
    await gate.reached.wait()
    await client.post(f"{RUNS}/{run_id}/cancel?action=rollback&wait=1")
    # Begins when the other one is taken back.
    last = await client.post(f"{RUNS}/wait", json=steps("writes"))
    assert last.json() == {"steps": ["wrote", "wrote"]}
