"""One connection that short calls share: what is asked at the same time goes together.

A run makes some sixty calls, most of them of scripts, each of microseconds in Redis. With a
connection of its own each costs the process two system calls and several turns of the loop; over
one line, whatever is asked in one turn is one write, and its replies come with one read.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

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


class _Open:
    """The line while one connection lives."""

    def __init__(self, connection: AbstractConnection, *, seconds: float | None) -> None:
        self.lost: Exception | None = None
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._seconds = seconds
        self._out: list[bytes] = []
        # Who waits for a reply, and since when, in the order of the calls.
        self._waiting: deque[tuple[asyncio.Future[Any], float]] = deque()
        self._more = asyncio.Event()
        self._watch: asyncio.TimerHandle | None = None
        self._tasks = [
            asyncio.create_task(self._send(), name="redis scripts: write"),
            asyncio.create_task(self._listen(), name="redis scripts: read"),
        ]

    def ask(self, words: Sequence[Any]) -> asyncio.Future[Any]:
        packed = self._connection.pack_command(*words)
        reply: asyncio.Future[Any] = self._loop.create_future()
        self._waiting.append((reply, self._loop.time()))
        self._out += packed
        self._more.set()
        if self._watch is None and self._seconds:
            self._watch = self._loop.call_later(self._seconds, self._look)
        return reply

    async def close(self) -> None:
        self._lose(RedisConnectionError("the line was closed"))
        while going := [task for task in self._tasks if not task.done()]:
            # Before Python 3.12 `wait_for`, which the Redis client uses, may lose a cancellation.
            for task in going:
                task.cancel()
            await asyncio.wait(going, timeout=0.1)
        await self._connection.disconnect(nowait=True)

    async def _send(self) -> None:
        try:
            while self.lost is None:
                await self._more.wait()
                self._more.clear()
                out, self._out = self._out, []
                await self._connection.send_packed_command(out, check_health=False)
        except (RedisError, OSError) as error:
            self._lose(error)

    async def _listen(self) -> None:
        try:
            while self.lost is None:
                try:
                    reply = await self._connection.read_response(
                        timeout=math.inf, disconnect_on_error=False
                    )
                except ResponseError as error:
                    reply = error
                waiter, _ = self._waiting.popleft()
                if waiter.done():
                    continue
                if isinstance(reply, ResponseError):
                    waiter.set_exception(reply)
                else:
                    waiter.set_result(reply)
        except (RedisError, OSError) as error:
            self._lose(error)

    def _look(self) -> None:
        """Give up on a line whose oldest call has no reply in time."""
        self._watch = None
        if not self._waiting or not self._seconds:
            return
        left = self._waiting[0][1] + self._seconds - self._loop.time()
        if left <= 0:
            self._lose(RedisTimeoutError(f"no reply within {self._seconds:g} s"))
        else:
            self._watch = self._loop.call_later(left, self._look)

    def _lose(self, error: Exception) -> None:
        if self.lost is not None:
            return
        self.lost = error
        if self._watch is not None:
            self._watch.cancel()
        # `RedisError` and `OSError` differ in what is tried again: a lost line always is.
        told = error if isinstance(error, RedisTimeoutError) else RedisConnectionError(str(error))
        for waiter, _ in self._waiting:
            if not waiter.done():
                waiter.set_exception(told)
        self._waiting.clear()
        self._out.clear()
        for task in self._tasks:
            if task is not asyncio.current_task(self._loop):
                task.cancel()
