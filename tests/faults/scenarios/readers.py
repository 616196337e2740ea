"""Clients that follow a run while their line, or the server they ask, goes away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from tests.faults.graph import steps_of
from tests.faults.nursery import Child
from tests.faults.oracle import Accepted, OracleError
from tests.faults.polling import eventually
from tests.faults.proxy import ChaosProxy
from tests.faults.redis_process import free_port
from tests.faults.stage import Stage
from tests.faults.worker import WORLD

ELSEWHERE_SECONDS = 3.0
CUTS = 12
_PACE = 0.03


@dataclass
class Reader:
    """Follows a run over several addresses, as clients do: with the last id that it has."""

    path: str
    ids: list[str] = field(default_factory=list)
    over: bool = False
    reconnections: int = 0
    heard: float = 0.0

    async def follow(self, urls: Sequence[str], *, within: float) -> None:
        """To the end, a broken line at a time, each time at the next address."""
        async with asyncio.timeout(within), httpx.AsyncClient(timeout=5.0) as client:
            while not self.over:
                url = urls[self.reconnections % len(urls)]
                with contextlib.suppress(httpx.TransportError, httpx.StreamError):
                    await self._read(client, url)
                if not self.over:
                    self.reconnections += 1
                    await asyncio.sleep(0.02)

    async def _read(self, client: httpx.AsyncClient, url: str) -> None:
        headers = {"Last-Event-ID": self.ids[-1] if self.ids else "-1"}
        async with client.stream("GET", f"{url}{self.path}", headers=headers) as answer:
            if answer.status_code >= 500:
                return
            answer.raise_for_status()
            name, event_id, data = "", "", False
            async for line in answer.aiter_lines():
                if line.startswith("event: "):
                    name = line[7:]
                elif line.startswith("id: "):
                    event_id = line[4:]
                elif line.startswith("data: "):
                    data = True
                elif not line and data:
                    # A frame counts when it is whole, as the standard says.
                    self._take(name, event_id)
                    name, event_id, data = "", "", False
            # The end of the answer without a broken line: the run is over.
            self.over = True

    def _take(self, name: str, event_id: str) -> None:
        self.heard = time.monotonic()
        if event_id and name not in {"metadata", "end"}:
            self.ids.append(event_id)


@asynccontextmanager
async def replicas(
    there: Stage, *, count: int, config: str = ""
) -> AsyncIterator[list[tuple[Child, str]]]:
    """API processes over the stage's Redis, each with its URL; ``config`` is TOML to be added."""
    made = []
    path = there.config(config)
    for number in range(count):
        port = free_port()
        spec = {
            "port": port,
            "data_dir": str(there.folder / f"api-{number}"),
            "environment": {
                "COUNTERPOINT_REDIS_URL": there.server.url,
                "COUNTERPOINT_CONFIG": str(path),
                WORLD: there.world_url,
            },
        }
        child = await there.nursery.spawn("api", spec, wait=False)
        there.children.append(child)
        made.append((child, f"http://127.0.0.1:{port}"))
    async with httpx.AsyncClient(timeout=2.0) as client:
        for child, url in made:

            async def serves(child: Child = child, url: str = url) -> bool:
                assert not child.exited.is_set(), child.last_words()
                try:
                    return (await client.get(f"{url}/ok")).status_code == 200
                except httpx.TransportError:
                    return False

            await eventually(serves, within=30, what=f"{url} serves")
    yield made


def _complete(there: Stage, run: Accepted, reader: Reader, whole: Reader) -> None:
    if len(set(reader.ids)) != len(reader.ids):
        raise OracleError(f"{run.name}: {len(reader.ids) - len(set(reader.ids))} events came twice")
    if reader.ids != whole.ids:
        missing = sorted(set(whole.ids) - set(reader.ids))
        raise OracleError(f"{run.name}: the reader missed {missing[:5]} of {len(whole.ids)}")
    if len(whole.ids) < len(steps_of(run.program or "")):
        raise OracleError(f"{run.name}: only {len(whole.ids)} events for all its steps")
    del there


async def _started(there: Stage) -> tuple[Accepted, str]:
    modes = {"stream_modes": ("updates", "values")}
    run = await there.accept(there.program(steps=12), pace=_PACE, asked=modes)
    return run, f"/threads/{run.thread_id}/runs/{run.run_id}/stream"


async def comes_back(there: Stage) -> None:
    """18. A client drops at random bytes and comes back on another replica: no gap, none twice."""
    async with replicas(there, count=2) as apis:
        await there.worker(concurrency=2)
        async with (
            ChaosProxy(port=int(apis[0][1].rpartition(":")[2])) as one,
            ChaosProxy(port=int(apis[1][1].rpartition(":")[2])) as other,
        ):
            for proxy in (one, other):
                proxy.cut_after(*(there.rng.randint(100, 1500) for _ in range(CUTS // 2)))
            run, path = await _started(there)
            reader = Reader(path)
            urls = [f"http://127.0.0.1:{proxy.port}" for proxy in (one, other)]
            await reader.follow(urls, within=30)
        await there.settled()
        whole = Reader(path)
        await whole.follow([apis[0][1]], within=10)
        if not reader.reconnections:
            raise OracleError("the line was never cut: the fault did not happen")
        _complete(there, run, reader, whole)
        await there.judge()
        await there.cleared()


async def replica_killed(there: Stage) -> None:
    """19. An API replica is killed in mid-stream: the client goes on elsewhere within 3 s."""
    async with replicas(there, count=2) as apis:
        await there.worker(concurrency=2)
        run, path = await _started(there)
        reader = Reader(path)
        enough = there.rng.randint(2, 8)
        before = 0

        async def kill() -> None:
            nonlocal before

            async def reads() -> bool:
                return len(reader.ids) >= enough

            async def goes_on() -> bool:
                return len(reader.ids) > before or reader.over

            await eventually(reads, within=20, what="the client reads")
            await apis[0][0].kill()
            before = len(reader.ids)
            what = "the client goes on elsewhere"
            await eventually(goes_on, within=ELSEWHERE_SECONDS, what=what)

        async with asyncio.TaskGroup() as group:
            group.create_task(reader.follow([url for _, url in apis], within=30))
            group.create_task(kill())
        await there.settled()
        whole = Reader(path)
        await whole.follow([apis[1][1]], within=10)
        _complete(there, run, reader, whole)
        await there.judge()
        await there.cleared()
