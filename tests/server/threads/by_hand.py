"""What runs leave of a thread, written by hand."""

from __future__ import annotations

from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.threads.thread import ThreadRecord


async def checkpointed(saver: RedisSaver, record: ThreadRecord, steps: int = 3) -> None:
    config: Any = {"configurable": {"thread_id": record.checkpoint_thread, "checkpoint_ns": ""}}
    for step in range(steps):
        checkpoint = {**empty_checkpoint(), "channel_values": {"n": step}}
        checkpoint["channel_versions"] = {"n": f"{step}"}
        metadata: Any = {"step": step, "run_id": "r"}
        config = await saver.aput(config, checkpoint, metadata, {"n": f"{step}"})  # type: ignore[arg-type]


async def put_status(redis: Redis, keys: Keys, record: ThreadRecord, status: str) -> None:
    """As a run's script leaves it."""
    await redis.hset(keys.thread_record(record.tenant, record.thread_id), "status", status)
    for other in ("busy", "interrupted", "error"):
        name = keys.threads_by_status(record.tenant, other)
        await (redis.sadd if other == status else redis.srem)(name, record.thread_id)
