"""One connection that short calls share: what is asked at the same time goes together.

A run makes some sixty calls, most of them of scripts, each of microseconds in Redis. With a
connection of its own each costs the process two system calls and several turns of the loop; over
one line, whatever is asked in one turn is one write, and its replies come with one read. The Redis
client opens the connection (address, TLS, user, database); what goes over it then is read and
written here, without its streams and its coroutines for each reply.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import hiredis
from redis._parsers import BaseParser
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

_CLOSED = "Connection closed by server."
_MORE = object()
_TOGETHER = 16

Connect = Callable[[], Awaitable[AbstractConnection]]


class ScriptLine:
    """Calls over one connection, which is opened with the first and again after it was lost.

    Replies come in the order of the calls. A call that is cancelled is made all the same, if it was
    sent; its reply is dropped. When the line is lost, all that wait for it hear so: whether their
    calls were made is not known.
    """

    def __init__(self, connect: Connect, *, seconds: float | None = None) -> None:
        """``seconds``: how long a reply may take; the connection has no limit of its own then."""
        self._connect = connect
        self._seconds = seconds
        self._opening = asyncio.Lock()
        self._open: _Open | None = None
        self._is_closed = False

    async def call(self, *words: Any) -> Any:
        """Raises ResponseError for what Redis refuses, and redis' ConnectionError or TimeoutError
        where the line is lost or no reply comes in time."""
        return await (await self._living()).ask(words)

    async def calls(self, many: Sequence[Sequence[Any]]) -> list[Any]:
        """The replies to several, in their order; what Redis refuses is a ResponseError among them.

        Raises ConnectionError or TimeoutError as ``call`` does.
        """
        line = await self._living()
        replies: list[Any] = await asyncio.gather(
            *(line.ask(words) for words in many), return_exceptions=True
        )
        for reply in replies:
            if isinstance(reply, Exception) and not isinstance(reply, ResponseError):
                raise reply
        return replies

    async def close(self) -> None:
        """Close the connection for good; what still waits for a reply is told that it is lost."""
        self._is_closed = True
        async with self._opening:
            line, self._open = self._open, None
            if line is not None:
                await line.close()

    async def _living(self) -> _Open:
        line = self._open
        return line if line is not None and line.lost is None else await self._opened()

    async def _opened(self) -> _Open:
        async with self._opening:
            if self._is_closed:
                raise RedisConnectionError("the line was closed")
            if self._open is None or self._open.lost is not None:
                former, self._open = self._open, None
                if former is not None:
                    await former.close()
                self._open = _Open(await self._connect(), seconds=self._seconds)
            return self._open


class _Open(asyncio.Protocol):
    """The line while one connection lives."""

    def __init__(self, connection: AbstractConnection, *, seconds: float | None) -> None:
        self.lost: Exception | None = None
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._out: list[bytes] = []
        self._is_due = False
        self._is_full = False
        # Who waits for a reply, and since when, in the order of the calls.
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._watch: asyncio.TimerHandle | None = None
        # Whoever calls first starts the watch, which outlives the call: it keeps nothing of it.
        self._nobodys = contextvars.Context()
        self._replies = hiredis.Reader(
            protocolError=InvalidResponse,
            replyError=cast("Any", BaseParser.parse_error),
            notEnoughData=_MORE,
        )
        # The client has no way to hand its connection over; all its own replies are read by now.
        self._transport: asyncio.Transport = cast("Any", connection)._writer.transport
        self._former = cast("asyncio.Protocol", self._transport.get_protocol())
        self._transport.set_protocol(self)
        if self._transport.is_closing():
            self._lose(RedisConnectionError(_CLOSED))

    def ask(self, words: Sequence[Any]) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = self._loop.create_future()
        if self.lost is not None:
            reply.set_exception(_told(self.lost))
            return reply
        self._out += self._packed(words)
        self._waiting.append((reply, self._loop.time()))
        if not self._is_due and not self._is_full:
            self._is_due = True
            self._loop.call_soon(self._write)
        if self._watch is None and self._seconds:
            self._watch = self._loop.call_later(self._seconds, self._look, context=self._nobodys)
        return reply

    async def close(self) -> None:
        self._lose(RedisConnectionError("the line was closed"))
        await self._connection.disconnect(nowait=True)

    def data_received(self, data: bytes) -> None:
        try:
            self._replies.feed(data)
            while (reply := self._replies.gets()) is not _MORE:
                self._answer(reply)
        except RedisError as error:
            self._lose(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc or RedisConnectionError(_CLOSED))
        self._former.connection_lost(exc)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._write()

    def _packed(self, words: Sequence[Any]) -> list[bytes]:
        try:
            return [hiredis.pack_command(tuple(words))]
        except TypeError:
            # What hiredis does not know the client may, or says why not.
            return list(self._connection.pack_command(*words))

    def _write(self) -> None:
        self._is_due = False
        while self._out and not self._is_full and self.lost is None:
            # Not all of a flood at once: the transport says when it has enough.
            out, self._out = self._out[:_TOGETHER], self._out[_TOGETHER:]
            self._transport.write(b"".join(out))

    def _answer(self, reply: Any) -> None:
        """Give the next one its reply. Raises what says that none of them will have one."""
        is_error = isinstance(reply, ResponseError)
        if isinstance(reply, RedisError) and not is_error:
            raise reply
        if not self._waiting:
            raise InvalidResponse("a reply that nobody asked for")
        waiter, _ = self._waiting.popleft()
        if waiter.done():
            return
        if is_error:
            waiter.set_exception(reply)
        else:
            waiter.set_result(reply)

    def _look(self) -> None:
        """Give up on a line whose oldest call has no reply in time."""
        self._watch = None
        if not self._waiting or not self._seconds:
            return
        left = self._waiting[0][1] + self._seconds - self._loop.time()
        if left <= 0:
            self._lose(RedisTimeoutError(f"no reply within {self._seconds:g} s"))
        else:
            self._watch = self._loop.call_later(left, self._look, context=self._nobodys)

    def _lose(self, error: Exception) -> None:
        if self.lost is not None:
            return
        self.lost = error
        if self._watch is not None:
            self._watch.cancel()
        for waiter, _ in self._waiting:
            if not waiter.done():
                waiter.set_exception(_told(error))
        self._waiting.clear()
        self._out.clear()
        self._transport.abort()


def _told(error: Exception) -> Exception:
    """`RedisError` and `OSError` differ in what is tried again: a lost line always is."""
    return error if isinstance(error, RedisTimeoutError) else RedisConnectionError(str(error))
