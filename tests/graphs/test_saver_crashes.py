"""The checkpoint saver when Redis or the writer dies between two writes."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.conformance.test_utils import (
    generate_checkpoint,
    generate_config,
    generate_metadata,
)
from redis.exceptions import RedisError

from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.redis_client import open_redis
from tests.doubles.redis_kinds import Server

KEYS = Keys(prefix="crash:")


async def write_steps(saver: RedisSaver, acknowledged: list[int]) -> None:
    """Step after step, each with one message more and a pending write, until the line breaks."""
    config: Any = generate_config("t")
    number = 0
    while True:
        messages = [HumanMessage(f"{n} " * 20, id=str(n)) for n in range(number)]
        versions: Any = {"messages": number + 1}
        checkpoint = generate_checkpoint(
            channel_values={"messages": messages}, channel_versions=versions
        )
        about = generate_metadata(step=number, run_id="r")
        config = await saver.aput(config, checkpoint, about, versions)
        acknowledged.append(number)
        await saver.aput_writes(config, [("messages", number)], "task")
        number += 1


def assert_chain(found: list[CheckpointTuple], *, at_least: int) -> None:
    """Newest first: no step is missing, each is whole and follows the one before."""
    steps = [int(each.metadata["step"]) for each in found]
    assert steps == list(range(steps[0], -1, -1))
    assert steps[0] >= at_least
    for each, before in zip(found, [*found[1:], None], strict=True):
        assert len(each.checkpoint["channel_values"]["messages"]) == each.metadata["step"]
        parent = each.parent_config and each.parent_config["configurable"]["checkpoint_id"]
        assert parent == (before and before.config["configurable"]["checkpoint_id"])
    assert all(each.pending_writes for each in found[1:])


async def test_what_was_acknowledged_is_a_whole_chain_after_redis_was_killed(
    redis_kind: str, tmp_path: Path
) -> None:
    server = Server(redis_kind, tmp_path)
    redis = open_redis(server.url)
    saver, log, acknowledged = RedisSaver(redis, KEYS), EventLog(redis, KEYS), list[int]()
    try:
        ids = await log.append("t", "r", [{"type": "said", "word": 1}])
        writing = asyncio.create_task(write_steps(saver, acknowledged))
        async with asyncio.timeout(20):
            while len(acknowledged) < 40:  # noqa: ASYNC110 - the writer has no time to tell
                await asyncio.sleep(0)
        server.kill()
        (error,) = await asyncio.gather(writing, return_exceptions=True)
        assert isinstance(error, RedisError | OSError)
        server.start()
        found = [each async for each in saver.alist(generate_config("t"))]
        assert_chain(found, at_least=acknowledged[-1])
        ids += await log.append("t", "r", [{"type": "said", "word": 2}])
        await log.close("t", "r", {"type": "run.finished"})
        entries = [entry async for entry in log.read("t", run_id="r")]
        assert [entry.id for entry in entries[:-1]] == ids
    finally:
        await redis.aclose()
        server.kill()


async def test_a_writer_that_was_killed_between_two_writes_leaves_a_whole_chain(
    tmp_path: Path,
) -> None:
    server = Server("bundled", tmp_path)
    script = f"""
        import asyncio
        from graphs.saver import RedisSaver
        from server.redis_client import open_redis
        from tests.graphs.test_saver_crashes import KEYS, write_steps

        class Told(list):
            def append(self, number):
                print(number, flush=True)

        asyncio.run(write_steps(RedisSaver(open_redis({server.url!r}), KEYS), Told()))
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", textwrap.dedent(script), stdout=asyncio.subprocess.PIPE
    )
    redis = open_redis(server.url)
    try:
        assert process.stdout is not None
        last = 0
        async with asyncio.timeout(40):
            while last < 25:
                last = int(await process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        await process.wait()
        saver = RedisSaver(redis, KEYS)
        found = [each async for each in saver.alist(generate_config("t"))]
        assert_chain(found, at_least=last)
        latest = await saver.aget_tuple(generate_config("t"))
        assert latest is not None
        assert latest.metadata["step"] == found[0].metadata["step"]
    finally:
        await redis.aclose()
        server.kill()
