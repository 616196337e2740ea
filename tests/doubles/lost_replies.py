"""A line to Redis that breaks after a command was carried out and before its reply arrives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from server import script_line

_GREETINGS = (b"CLIENT", b"HELLO", b"SELECT", b"PING")


@contextmanager
def lost_replies(monkeypatch: pytest.MonkeyPatch, *, every: int = 1) -> Iterator[list[int]]:
    """Lose the reply of each ``every``-th command, once each: what is sent again gets through.

    Yields a list with one number per lost reply.
    """
    lost: list[int] = []
    sent = itertools.count(1)
    doomed: dict[int, int] = {}
    again: set[int] = set()
    send, read = AbstractConnection.send_packed_command, AbstractConnection.read_response

    async def send_packed_command(self: Any, command: Any, *args: Any, **options: Any) -> None:
        packed = command if isinstance(command, bytes) else b"".join(command)
        if not any(word in packed[:40] for word in _GREETINGS):
            number = next(sent)
            if id(self) in again:
                again.discard(id(self))
            elif number % every == 0:
                doomed[id(self)] = number
        await send(self, packed, *args, **options)

    async def read_response(self: Any, *args: Any, **options: Any) -> Any:
        try:
            return await read(self, *args, **options)
        finally:
            # A script that the server does not know is an answer, and lost as any other.
            if number := doomed.pop(id(self), 0):
                lost.append(number)
                again.add(id(self))
                await self.disconnect()
                raise RedisConnectionError("the line broke before the reply")

    write, receive = script_line._Open._write, script_line._Open.data_received

    def written(self: Any) -> None:
        if self._out and (number := next(sent)) % every == 0:
            doomed[id(self)] = number
        write(self)

    def received(self: Any, data: bytes) -> None:
        if number := doomed.pop(id(self), 0):
            lost.append(number)
            self._lose(RedisConnectionError("the line broke before the reply"))
        else:
            receive(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(script_line._Open, "_write", written)
        patch.setattr(script_line._Open, "data_received", received)
        patch.setattr(AbstractConnection, "send_packed_command", send_packed_command)
        patch.setattr(AbstractConnection, "read_response", read_response)
        yield lost
