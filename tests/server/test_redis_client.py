"""Connections to Redis: what becomes of one that is lost between two calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from server.redis_client import open_redis


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_was_just_lost_refuses_a_call_as_one_to_be_tried_again(
    redis_url: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def play() -> None:
        async with open_redis(redis_url) as client:
            connection = cast("Any", client.connection_pool).make_connection()
            await connection.connect()
            connection._writer.transport.abort()
            for _ in range(3):
                await asyncio.sleep(0)
            with pytest.raises(RedisConnectionError):
                await connection.send_command("PING", check_health=False)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play())
