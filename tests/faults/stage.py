"""One scenario's stage: a Redis of its own, workers, the world, a provider, and the verdict."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphs.event_log import EventLog
from graphs.keys import DEFAULT_TENANT, Keys
from graphs.saver import RedisSaver
from server.approvals.record import Approval, ApprovalStatus
from server.approvals.store import Filter
from server.redis_client import open_redis
from server.runs.asked import Asked
from server.runs.durability import Durability
from server.runs.ledger import RedisRunLedgers
from server.runs.queue import RunQueue
from server.runs.record import RunError, RunRecord
from server.runs.records import RunRecords
from server.runs.service import Runs
from tests.faults import oracle
from tests.faults.nursery import Child, Nursery
from tests.faults.oracle import Accepted, OracleError, Repeated
from tests.faults.polling import eventually
from tests.faults.provider import Call, Provider, calling
from tests.faults.proxy import ChaosProxy
from tests.faults.queue import approvals_of
from tests.faults.redis_process import RedisProcess
from tests.faults.world import World

LEASE_SECONDS = 1.5
GRAPH = "tests.faults.worker:work"
PATIENCE_SECONDS = 30.0
LETTERS = "ssssfs"


class Stage:
    """What a scenario works with. Its own client reaches Redis by a clean line.

    ``full``: a scenario that has a long form plays that; ``kills`` counts what it has killed.
    """

    def __init__(
        self,
        *,
        seed: int,
        nursery: Nursery,
        folder: Path,
        server: RedisProcess,
        world_server: RedisProcess,
        provider: Provider,
        redis: Redis,
        world: Redis,
        queue: RunQueue,
    ) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.nursery = nursery
        self.server = server
        self.provider = provider
        self.keys = Keys()
        self.world = World(world)
        self.use(redis, queue)
        self.children: list[Child] = []
        self.accepted: list[Accepted] = []
        self.gone: list[str] = []
        self.world_url = world_server.url
        self.folder = folder
        self.full = False
        self.kills = 0
        self._count = 0

    def use(self, redis: Redis, queue: RunQueue, *, replicas: int = 0) -> None:
        """From now on everything here goes this way to Redis; ``replicas`` have to have a run."""
        self.redis = redis
        self.ledgers = RedisRunLedgers(redis, self.keys)
        self.log = EventLog(redis, self.keys)
        self.saver = RedisSaver(redis, self.keys)
        self.records = RunRecords(redis, self.keys)
        # Synced at once while somebody waits, as our own Redis is.
        durability = Durability(redis, disk=True, hurry=True, replicas=replicas, seconds=1.0)
        self.runs = Runs(records=self.records, log=self.log, queue=queue, durability=durability)
        self.approvals = approvals_of(redis, self.keys, queue, records=self.records)

    def program(self, *, steps: int | None = None) -> str:
        """Eight to ten steps, some of them three branches wide."""
        count = steps if steps is not None else self.rng.randint(8, 10)
        return "".join(self.rng.choice(LETTERS) for _ in range(count))

    async def worker(self, *, url: str | None = None, wait: bool = True, **options: Any) -> Child:
        """A worker process with a short lease; ``url`` where it is to take another way to Redis."""
        spec = {
            "url": url or self.server.url,
            "world": self.world_url,
            "model_url": self.provider.url,
            "lease": LEASE_SECONDS,
            **options,
        }
        child = await self.nursery.spawn("worker", spec, wait=wait)
        self.children.append(child)
        return child

    async def accept(
        self,
        program: str,
        *,
        thread_id: str | None = None,
        tenant: str = DEFAULT_TENANT,
        ends: Collection[str] = ("success",),
        asked: Mapping[str, Any] | None = None,
        pace: float = 0.0,
        name: str = "",
        **options: Any,
    ) -> Accepted:
        """A run of the program; once this returns the server has promised it."""
        name = name or self.name()
        record = await self.runs.create(
            Asked(
                graph="work",
                assistant_id="work",
                input={"name": name, "program": program, "pace": pace},
                **(asked or {}),
            ),
            tenant=tenant,
            thread_id=thread_id,
            **options,
        )
        return self.note(record, name=name, program=program, ends=ends)

    async def accept_team(self, **options: Any) -> Accepted:
        """A run of the team: five model calls through the provider."""
        name = self.name()
        # Each part names the run, since the provider books what it serves on it.
        question = (
            f"How long can I return an annual plan in run {name}, and who approves a refund in "
            f"run {name}?"
        )
        record = await self.runs.create(
            Asked(input={"messages": [{"role": "user", "content": question}]}), **options
        )
        return self.note(record, name=name, program=None)

    async def accept_calls(self, *rounds: Sequence[Call], **options: Any) -> Accepted:
        """A run of the researcher alone, who wants these calls, those of a round at once."""
        name = self.name()
        said = {"role": "user", "content": calling(name, rounds)}
        record = await self.runs.create(
            Asked(
                input={"messages": [said]},
                config={"configurable": {"agent": "researcher"}},
                user="ruth",
            ),
            thread_id=f"thread-{name}",
        )
        return self.note(record, name=name, program=None, **options)

    async def pending(self) -> list[Approval]:
        """What waits for a person, the oldest first."""
        wanted = Filter(statuses=frozenset({ApprovalStatus.PENDING}))
        found, _ = await self.approvals.list(DEFAULT_TENANT, wanted, limit=1_000)
        return found

    async def kill(self, child: Child) -> None:
        """SIGKILL, counted."""
        self.kills += 1
        await child.kill()

    def config(self, more: str = "") -> Path:
        """A counterpoint.toml that serves the graph under test."""
        path = self.folder / "counterpoint.toml"
        path.write_text(f'[graphs]\nwork = "{GRAPH}"\n{more}')
        return path

    async def pause(self, seconds: float) -> None:
        """Let a fault last for so long; nothing else waits by the clock."""
        await asyncio.sleep(seconds)

    def name(self) -> str:
        """A name for a run, not used before."""
        self._count += 1
        return f"r{self._count}"

    def note(
        self,
        record: RunRecord,
        *,
        name: str,
        program: str | None,
        ends: Collection[str] = ("success",),
    ) -> Accepted:
        run = Accepted(
            run_id=record.run_id,
            thread_id=record.thread_id,
            tenant=record.tenant,
            name=name,
            program=program,
            ends=ends,
        )
        self.accepted.append(run)
        return run

    async def status(self, run: Accepted) -> str:
        """The run's state now; empty where there is no record."""
        record = await self._record(run)
        return str(record.status) if record is not None else ""

    async def until(
        self, run: Accepted, *states: str, within: float = PATIENCE_SECONDS
    ) -> RunRecord:
        """Wait until the run is in one of the states."""

        async def look() -> RunRecord | None:
            record = await self._record(run)
            return record if record is not None and record.status in states else None

        found = await eventually(look, within=within, what=f"{run.name} is {'/'.join(states)}")
        assert found is not None
        return found

    async def settled(
        self, runs: Iterable[Accepted] | None = None, *, within: float = PATIENCE_SECONDS
    ) -> None:
        """Wait until each run is over or paused, and until nothing is held any more."""
        left = {run.run_id: run for run in (self.accepted if runs is None else runs)}

        async def look() -> bool:
            for run in list(left.values()):
                record = await self._record(run)
                if record is not None and (record.status.is_terminal or _paused(record)):
                    del left[run.run_id]
            return not left

        await eventually(look, within=within, what="all runs are over", every=0.05)

    async def _record(self, run: Accepted) -> RunRecord | None:
        try:
            return await self.runs.get(run.run_id, tenant=run.tenant)
        except (RunError, RedisError, OSError):
            return None

    async def judge(
        self, *, repeated: Repeated | None = None, killed: bool = False, within: float = 5.0
    ) -> None:
        """Ask the oracle. What is written a moment after the end has a little time to come.

        Raises OracleError.
        """
        problems: list[str] = []

        async def look() -> bool:
            found = oracle.Evidence(
                redis=self.redis,
                keys=self.keys,
                world=self.world,
                accepted=self.accepted,
                records={run.run_id: await self._record(run) for run in self.accepted},
                repeated=repeated or Repeated(),
                books=self.provider.books,
                killed=killed,
                gone=self.gone,
            )
            problems[:] = await oracle.verdict(found)
            return not problems

        with contextlib.suppress(AssertionError):
            await eventually(look, within=within, what="the oracle is content", every=0.1)
        if problems:
            raise OracleError("\n".join(problems))

    async def cleared(self) -> None:
        """(vi) Every process ends when it is asked to, within its grace."""
        living = [child for child in self.children if not child.exited.is_set()]
        codes = await asyncio.gather(*(child.stop() for child in living))
        wrong = {child.pid: code for child, code in zip(living, codes, strict=True) if code != 0}
        if wrong:
            words = "\n".join(child.last_words() for child in living if child.pid in wrong)
            raise OracleError(f"(vi) processes ended with {wrong}:\n{words}")


def _paused(record: RunRecord) -> bool:
    return str(record.status) == "interrupted"


@asynccontextmanager
async def stage(
    seed: int, *, nursery: Nursery, folder: Path, **redis_options: str
) -> AsyncIterator[Stage]:
    """Everything open; processes that a failed scenario left are killed."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            RedisProcess(folder / "redis", options=redis_options)
        )
        outside = await stack.enter_async_context(RedisProcess(folder / "world", durable=False))
        provider = await stack.enter_async_context(Provider())
        redis = open_redis(server.url)
        stack.push_async_callback(redis.aclose)
        world = open_redis(outside.url)
        stack.push_async_callback(world.aclose)
        queue = await stack.enter_async_context(RunQueue(server.url, Keys()))
        made = Stage(
            seed=seed,
            nursery=nursery,
            folder=folder,
            server=server,
            world_server=outside,
            provider=provider,
            redis=redis,
            world=world,
            queue=queue,
        )
        try:
            yield made
        finally:
            for child in made.children:
                await child.kill()


@asynccontextmanager
async def proxied(there: Stage) -> AsyncIterator[tuple[ChaosProxy, str]]:
    """A bad line to the stage's Redis, and its URL."""
    async with ChaosProxy(port=there.server.port) as proxy:
        yield proxy, f"redis://127.0.0.1:{proxy.port}/0"
