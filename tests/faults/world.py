"""The world outside: what runs did to it, and where the test holds them. No fault touches it.

It lives in a Redis of its own, so that effects are counted whatever becomes of the server's.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, cast

from redis.asyncio import Redis

from tests.faults.polling import eventually

# KEYS: what was applied, the log. ARGV: key of the effect. An effect that knows its
# idempotency key is applied once, whoever asks how often.
_APPLY = """
local fresh = redis.call('HSETNX', KEYS[1], ARGV[1], 1)
redis.call('RPUSH', KEYS[2], ARGV[1])
return fresh
"""


# KEYS: the log. ARGV: run, step, pid. The time is the world's own.
_NOTE = """
local now = redis.call('TIME')
local at = now[1] .. '.' .. string.format('%06d', now[2])
redis.call('RPUSH', KEYS[1], table.concat({ARGV[1], ARGV[2], ARGV[3], at}, ' '))
"""


_LONGEST_SECONDS = 300.0


class Phase(StrEnum):
    """Where in a step it can be held."""

    BEFORE = "before"
    """The step before is stored; nothing of this one has happened."""
    AFTER = "after"
    """The effects of this step have happened; what it returns is not stored."""
    STORED = "stored"
    """What the step returned is stored; the checkpoint that follows from it is not."""


class Hold(StrEnum):
    """What a run does at the place."""

    WAIT = "wait"
    """Waits, as for a slow provider; the event loop goes on."""
    BLOCK = "block"
    """Blocks the event loop of its whole worker until it is sent SIGUSR1, then goes on."""
    DIE = "die"
    """Kills its own worker, every time."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """One moment of one run."""

    run: str
    step: str
    phase: Phase

    @property
    def key(self) -> str:
        return f"{self.run}|{self.step}|{self.phase}"


@dataclass(frozen=True, kw_only=True)
class Done:
    """One effect as it arrived."""

    run: str
    step: str
    pid: int
    at: float = 0.0
    """Seconds since the epoch, by the clock of the machine and not of the process."""


@dataclass(frozen=True, kw_only=True)
class Called:
    """One call of a tool as it arrived; ``order`` names it, ``key`` is its idempotency key."""

    tool: str
    order: str
    amount: int
    key: str
    run_id: str
    pid: int


class World:
    """Used by the graph's steps inside the workers and by the scenario outside."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def hold(self, place: Place, how: Hold) -> None:
        """The next run that comes by the place stops there."""
        await self._redis.hset("holds", place.key, how.value)

    async def release(self, place: Place) -> None:
        """Let go whoever is held there, now or later."""
        await self._redis.hdel("holds", place.key)
        await self._redis.set(f"go|{place.key}", 1)

    async def reached(self, place: Place, *, within: float) -> int:
        """Wait until a run is held there; gives the pid of its worker."""

        async def look() -> int:
            found = await cast("Any", self._redis.hget("reached", place.key))
            return int(found) if found else 0

        return await eventually(look, within=within, what=f"a run held at {place.key}")

    async def forget(self, place: Place) -> None:
        """As if nobody had been held there."""
        await self._redis.hdel("reached", place.key)
        await self._redis.delete(f"go|{place.key}")

    async def held(self, place: Place, *, pid: int) -> Hold | None:
        """Told by the step: it is at the place. Gives what it has to do there."""
        found = await cast("Any", self._redis.hget("holds", place.key))
        if found is None:
            return None
        how = Hold(found.decode())
        if how is not Hold.DIE:
            await self._redis.hdel("holds", place.key)
        await self._redis.hset("reached", place.key, pid)
        return how

    async def let_go(self, place: Place) -> None:
        """Wait, as a step that is held, until it is released."""

        async def released() -> bool:
            return bool(await self._redis.exists(f"go|{place.key}"))

        await eventually(released, within=_LONGEST_SECONDS, what=f"{place.key} is released")

    async def effect(self, done: Done) -> None:
        """An effect that may be repeated; every time counts."""
        await self._redis.eval(_NOTE, 1, "repeatable", done.run, done.step, done.pid)

    async def once(self, done: Done) -> bool:
        """An effect under its idempotency key. Whether this call applied it."""
        key = f"{done.run}|{done.step}"
        reply = await cast("Any", self._redis.eval(_APPLY, 2, "applied", "asked", key))
        return bool(reply)

    async def repeatable(self) -> Counter[tuple[str, str]]:
        """How often each step of each run did what may be repeated."""
        return Counter((one.run, one.step) for one in await self.effects())

    async def effects(self) -> list[Done]:
        """All repeatable effects in the order in which they happened."""
        found = await cast("Any", self._redis.lrange("repeatable", 0, -1))
        return [_done(entry) for entry in found]

    async def applied(self) -> set[str]:
        """``run|step`` of each effect that was applied under its key."""
        found = await cast("Any", self._redis.hkeys("applied"))
        return {name.decode() for name in found}

    async def call(self, called: Called) -> None:
        """A tool was run, once more."""
        await cast("Any", self._redis.rpush("calls", json.dumps(asdict(called))))

    async def calls(self) -> list[Called]:
        """All runs of tools, in the order in which they happened."""
        found = await cast("Any", self._redis.lrange("calls", 0, -1))
        return [Called(**json.loads(entry)) for entry in found]

    async def start(self) -> None:
        """Whoever waits for the start goes on."""
        await self._redis.set("started", 1)

    async def started(self) -> None:
        """Wait for the start."""

        async def look() -> bool:
            return bool(await self._redis.exists("started"))

        await eventually(look, within=_LONGEST_SECONDS, what="the start", every=0.002)

    async def tell_outcome(self, told: Mapping[str, str]) -> None:
        """What came of somebody's decision."""
        await cast("Any", self._redis.rpush("outcomes", json.dumps(dict(told))))

    async def outcomes(self) -> list[dict[str, str]]:
        """What came of all decisions."""
        found = await cast("Any", self._redis.lrange("outcomes", 0, -1))
        return [json.loads(entry) for entry in found]


def _done(entry: bytes) -> Done:
    run, step, pid, at = entry.decode().split(" ")
    return Done(run=run, step=step, pid=int(pid), at=float(at))
