"""A thread that keeps its latest step alone keeps all of them until its run is over."""

from __future__ import annotations

from typing import Any

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
from tests.server.surface import Parts, Team, in_process


async def test_latest_means_the_last_step_of_a_finished_run_and_all_of_a_paused_one(
    app: FastAPI, parts: Parts, redis: Redis, keys: Keys
) -> None:
    saver = RedisSaver(redis, keys, retention=KeepLatestAtEnd())
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
        in_process(app) as client,
    ):
        kept = {}
        for graph in ("writes", "asks"):
            thread = (await client.post("/threads", json={})).json()["thread_id"]
            body: dict[str, Any] = {"assistant_id": graph, "input": {"steps": []}}
            await client.post(f"/threads/{thread}/runs/wait", json=body)
            config: RunnableConfig = {"configurable": {"thread_id": thread_name("default", thread)}}
            kept[graph] = len([one async for one in saver.alist(config)])
    assert kept["writes"] == 1
    assert kept["asks"] > 1
