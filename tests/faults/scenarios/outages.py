"""Redis that dies, goes silent, is full, read-only, slow or loading."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphs.keys import Keys
from server.redis_client import open_redis
from server.runs.queue import RunQueue
from server.runs.record import NotDurableError, RunError
from tests.faults.oracle import Accepted, OracleError, Repeated
from tests.faults.polling import eventually
from tests.faults.proxy import ChaosProxy
from tests.faults.redis_process import RedisProcess
from tests.faults.stage import Stage, proxied
from tests.faults.world import Hold, Phase, Place

BACK_SECONDS = 15.0
_FAILOVER_SECONDS = 20.0
_LOST_SECONDS = 1.5
"""What an append-only file that is synced every second may lose, and a little to be measured."""


async def _working(there: Stage, *, count: int, pace: float = 0.1) -> list[Accepted]:
    runs = [await there.accept(there.program(), pace=pace) for _ in range(count)]

    async def begun() -> bool:
        return bool(await there.world.effects())

    await eventually(begun, within=20, what="the runs are at work")
    return runs


async def _repeatable_since(there: Stage, moment: float) -> Repeated:
    """The steps whose effect happened after a moment of the world's clock may come again."""
    found: dict[str, set[str]] = {}
    for effect in await there.world.effects():
        if effect.at >= moment:
            found.setdefault(effect.run, set()).add(effect.step)
    return Repeated(by_run=found)


async def killed(there: Stage) -> None:
    """7. Redis is killed and comes back: nothing that was promised is lost."""
    workers = [await there.worker(concurrency=3) for _ in range(2)]
    await _working(there, count=4)
    await there.pause(there.rng.uniform(0, 0.8))
    promised = asyncio.create_task(_accepting(there))
    await there.pause(there.rng.uniform(0, 0.2))
    died = time.time()
    await there.server.kill()
    await there.pause(there.rng.uniform(0, 1.5))
    await there.server.start()
    back = time.monotonic()
    await promised
    await there.settled(within=BACK_SECONDS)
    # Both workers take part again: neither is left without a line.
    await _all_at_work(there, [w.pid for w in workers], within=back + BACK_SECONDS)
    await there.judge(repeated=await _repeatable_since(there, died - _LOST_SECONDS), killed=True)
    await there.cleared()


async def _accepting(there: Stage) -> None:
    """Ask for runs through the outage; what was refused was not promised."""
    for _ in range(8):
        try:
            async with asyncio.timeout(8):
                await there.accept(there.program(steps=3))
        except (RedisError, RunError, OSError, TimeoutError):
            pass
        await there.pause(0.05)


async def _all_at_work(there: Stage, pids: list[int], *, within: float) -> None:
    async def look() -> bool:
        runs = [await there.accept("ss", pace=0.1) for _ in range(2 * len(pids) + 2)]
        await there.settled(runs)
        names = {run.name for run in runs}
        seen = {effect.pid for effect in await there.world.effects() if effect.run in names}
        return set(pids) <= seen

    left = max(1.0, within - time.monotonic())
    await eventually(look, within=left, what=f"the workers {pids} are all at work")


async def half_open(there: Stage) -> None:
    """8. The line to Redis goes silent without a word: back on a new one within 15 s."""
    async with proxied(there) as (proxy, url):
        worker = await there.worker(concurrency=3, url=url)
        await _working(there, count=3)
        went = time.time()
        if there.rng.random() < 0.5:
            proxy.strand()
        else:
            proxy.black_hole()
            await there.pause(there.rng.uniform(2, 5))
            proxy.strand()
            proxy.heal()
        silent = time.monotonic()
        await _all_at_work(there, [worker.pid], within=silent + BACK_SECONDS + 5)
        await there.settled(within=BACK_SECONDS)
        await there.judge(repeated=await _repeatable_since(there, went - 0.5), killed=True)
        await there.cleared()


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """A primary and its replica, each behind a line that can be cut; ``url`` leads to the first."""

    replication: ChaosProxy
    way: ChaosProxy
    replica: RedisProcess
    second: Redis
    redis: Redis

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.way.port}/0"

    async def promote(self, there: Stage) -> None:
        """The replica is the primary now; the old one is gone with what it alone had."""
        await cast("Any", self.second.replicaof("NO", "ONE"))
        self.way.aim(port=self.replica.port)
        self.way.cut()
        await there.server.kill()


@asynccontextmanager
async def _replicated(there: Stage) -> AsyncIterator[_Pair]:
    async with (
        ChaosProxy(port=there.server.port) as replication,
        ChaosProxy(port=there.server.port) as way,
        RedisProcess(there.folder / "replica") as replica,
        AsyncExitStack() as stack,
    ):
        second = replica.client()
        stack.push_async_callback(second.aclose)
        await cast("Any", second.replicaof("127.0.0.1", replication.port))

        async def in_step() -> bool:
            return (await second.info("replication")).get("master_link_status") == "up"

        await eventually(in_step, within=20, what="the replica is in step")
        redis = open_redis(f"redis://127.0.0.1:{way.port}/0")
        stack.push_async_callback(redis.aclose)
        pair = _Pair(replication=replication, way=way, replica=replica, second=second, redis=redis)
        queue = await stack.enter_async_context(RunQueue(pair.url, Keys()))
        there.use(redis, queue, replicas=1)
        yield pair


async def failover(there: Stage) -> None:
    """9. A primary is cut off from its replica, which is promoted: what was waited for survives,
    and what was not is noticed.
    """
    async with _replicated(there) as pair:
        await there.worker(concurrency=3, url=pair.url)
        await _working(there, count=3)
        cut = time.time()
        pair.replication.black_hole()
        noticed = 0
        for _ in range(2):
            try:
                await there.accept(there.program(steps=3))
            except NotDurableError:
                noticed += 1
        if noticed != 2:
            raise OracleError(f"{noticed} of 2 runs that no replica has were told so")
        await pair.promote(there)
        await there.settled(within=BACK_SECONDS)
        await there.judge(repeated=await _repeatable_since(there, cut - 0.5), killed=True)
        await there.cleared()


async def failed_over_in_a_run(there: Stage) -> None:
    """9. A run whose last steps the replica has not when it is promoted goes on from those that it
    has: its worker, which did the others, leaves no gap behind them.
    """
    async with _replicated(there) as pair:
        first = there.rng.randint(0, 3)
        last = first + there.rng.randint(1, 3)
        run = await there.accept("ssssssss", name="held")
        places = [Place(run=run.name, step=f"{n}", phase=Phase.AFTER) for n in (first, last)]
        for place in places:
            await there.world.hold(place, Hold.WAIT)
        # A lease that outlasts the failover: no other attempt does this one's work.
        await there.worker(url=pair.url, lease=_FAILOVER_SECONDS)
        await there.world.reached(places[0], within=20)
        if not await cast("Any", pair.redis.wait(1, 10_000)):
            raise OracleError("the replica does not follow")
        pair.replication.black_hole()
        await there.world.release(places[0])
        await there.world.reached(places[1], within=20)
        await pair.promote(there)
        await there.world.release(places[1])
        await there.settled(within=_FAILOVER_SECONDS + BACK_SECONDS)
        steps = [f"{n}" for n in range(first, last + 1)]
        repeated = Repeated(by_run={run.name: steps})
        await there.judge(repeated=repeated, killed=True)
        await there.cleared()


async def full(there: Stage) -> None:
    """10. Redis is out of memory: what cannot be kept is refused, and what runs waits."""

    async def fill() -> None:
        used = int((await there.redis.info("memory"))["used_memory"])
        await there.redis.config_set("maxmemory", used)

    async def free() -> None:
        await there.redis.config_set("maxmemory", 0)

    await _refusing(there, fill, free)


async def read_only(there: Stage) -> None:
    """10. Redis became a replica: every write is refused."""

    async def demote() -> None:
        await cast("Any", there.redis.replicaof("127.0.0.1", 1))

    async def promote() -> None:
        await cast("Any", there.redis.replicaof("NO", "ONE"))

    await _refusing(there, demote, promote)


async def _refusing(
    there: Stage, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]
) -> None:
    await there.worker(concurrency=3)
    await _working(there, count=3)
    began = time.time()
    await begin()
    refused = 0
    until = time.monotonic() + there.rng.uniform(2, 4)
    while time.monotonic() < until:
        try:
            await there.accept(there.program(steps=3))
        except (RedisError, RunError):
            refused += 1
        await there.pause(0.2)
    await end()
    if not refused:
        raise OracleError("Redis refused nothing: the fault did not happen")
    await there.settled(within=BACK_SECONDS)
    await there.judge(repeated=await _repeatable_since(there, began - 0.5), killed=True)
    await there.cleared()


async def slow(there: Stage) -> None:
    """10. Every word to Redis takes 100 to 2,000 ms: everything is late, nothing fails."""
    async with proxied(there) as (proxy, url):
        await there.worker(concurrency=3, url=url, lease=20.0)
        await _working(there, count=2, pace=0.0)
        proxy.delay(there.rng.choice((0.05, 0.2, 1.0)))
        await there.accept("ss")
        await there.pause(2.0)
        proxy.heal()
        await there.settled(within=BACK_SECONDS)
        for run in there.accepted:
            if (attempts := (await there.runs.get(run.run_id)).attempts) != 1:
                raise OracleError(f"{run.name} needed {attempts} attempts")
        await there.judge()
        await there.cleared()


async def loading(there: Stage) -> None:
    """10. Redis starts again and is loading: runs wait until it is there."""
    await there.worker(concurrency=3)
    await _working(there, count=3)
    died = time.time()
    await there.server.kill()
    await there.server.start(loading=True)
    await there.settled(within=BACK_SECONDS)
    await there.judge(repeated=await _repeatable_since(there, died - _LOST_SECONDS), killed=True)
    await there.cleared()
