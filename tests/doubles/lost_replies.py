"""A line to Redis that breaks after a command was carried out and before its reply arrives."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError


@contextmanager
def lost_replies(monkeypatch: pytest.MonkeyPatch, *, every: int = 1) -> Iterator[list[int]]:
    """Lose the reply of each ``every``-th command, once each: what is sent again gets through.

    Yields a list with one number per lost reply.
    """
    lost: list[int] = []
    original = AbstractConnection.read_response
    state = {"sent": 0, "again": False}

    async def read_response(self: Any, *args: Any, **options: Any) -> Any:
        reply = await original(self, *args, **options)
        # What a connection says when it opens is no command of ours.
        if reply in (b"OK", b"PONG", "OK", "PONG"):
            return reply
        if state["again"]:
            state["again"] = False
            return reply
        state["sent"] += 1
        if state["sent"] % every:
            return reply
        lost.append(state["sent"])
        state["again"] = True
        await self.disconnect()
        raise RedisConnectionError("the line broke before the reply")

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "read_response", read_response)
        yield lost
