"""The stack loses one process after the other, and its callers at most reconnect."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from bench.endpoint import DOCUMENT
from scripts.stack import topology
from scripts.stack.supervisor import Kept, Process, StackError, Supervisor, python
from scripts.stack.topology import HOST, OURS, Plan, Ports
from tests.faults.polling import eventually
from tests.faults.provider import Fault, Provider
from tests.stack.callers import Books, Caller, Followed, follow, read

HASHED = ("-m", "tests.server.cli.hashed")
RUNS = 2
_SLOW_SECONDS = 0.02
# The others ask these, and tell what they hold up with when to come back.
SHARED = {"redis", "documents"}


@asynccontextmanager
async def stack(
    folder: Path, *models: str, beside: Sequence[Process] = ()
) -> AsyncIterator[tuple[Plan, Supervisor]]:
    """The stack of `make stack`, with an embedder that needs no weights and scripted ``models``.

    Processes ``beside`` it are kept as its own are.
    """
    try:
        redis, haproxy = topology.needed()
    except StackError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    plan = Plan(
        folder=folder,
        ports=Ports.free(),
        program=HASHED,
        redis=redis,
        haproxy=haproxy,
        variables={
            "COUNTERPOINT_MODEL_URL": models[0],
            "COUNTERPOINT_MODEL_URLS": json.dumps(models[1:]),
            "COUNTERPOINT_MODEL": "double",
            "COUNTERPOINT_MODEL_TOOLS": "native",
            "COUNTERPOINT_LEASE_SECONDS": "2",
            "COUNTERPOINT_DRAIN_SECONDS": "1",
            "COUNTERPOINT_SANDBOX": '{"kind": "none"}',
            "OPENBLAS_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
        },
    )
    plan.write()
    told: list[str] = []
    rows = [list(beside), *plan.rows()]
    async with Supervisor(rows, logs=plan.logs, tell=told.append) as supervisor:
        async with httpx.AsyncClient(base_url=plan.url, trust_env=False, timeout=60) as client:
            added = await client.post(
                "/documents", files={"files": ("plans.md", DOCUMENT.encode())}
            )
        assert added.json()["results"][0]["status"] == "added", added.text
        yield plan, supervisor


async def lose(kept: Kept) -> None:
    """Kill what runs, and wait until another one is ready."""
    starts = kept.starts
    assert kept.pid is not None
    os.kill(kept.pid, signal.SIGKILL)

    async def again() -> bool:
        return kept.starts > starts and kept.ready.is_set()

    await eventually(again, within=90, what=f"{kept.name} is ready again", every=0.05)


async def one_loss(plan: Plan, supervisor: Supervisor, name: str) -> Books:
    """Runs under way, a process lost; all the same each run ends once, and each stream is whole."""
    books = Books()
    callers = [Caller(plan.url, books) for _ in range(RUNS + 1)]
    runs = [
        Followed(thread_id=f"00000000-0000-4000-8000-{os.urandom(6).hex()}") for _ in range(RUNS)
    ]
    stop = asyncio.Event()
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(callers[-1], stop))
            following = [
                group.create_task(follow(caller, run))
                for caller, run in zip(callers, runs, strict=False)
            ]
            async with asyncio.timeout(60):
                await asyncio.gather(*(run.begun.wait() for run in runs))
            assert not all(run.ended for run in runs), "the runs were over before the loss"
            await lose(supervisor.named(name))
            await asyncio.gather(*following)
            stop.set()
            await reading
        await judge(callers[0], runs, name=name)
    finally:
        for caller in callers:
            await caller.client.aclose()
    return books


async def judge(caller: Caller, runs: Sequence[Followed], *, name: str) -> None:
    for run in runs:
        assert len(set(run.ids)) == len(run.ids), f"{name}: an event came twice"
        there = (await caller.ask("GET", f"/threads/{run.thread_id}/runs")).json()
        assert [(one["run_id"], one["status"]) for one in there] == [(run.run_id, "success")]
        whole = Followed(thread_id=run.thread_id, run_id=run.run_id, key=run.key)
        await follow(caller, whole)
        assert run.ids == whole.ids, f"{name}: the stream that was cut is not the whole one"


async def losses(folder: Path, names: Sequence[str]) -> None:
    async with (
        Provider(slow_seconds=_SLOW_SECONDS) as provider,
        stack(folder, provider.url) as (plan, supervisor),
    ):
        for name in names:
            provider.faults[:] = [Fault.SLOW] * 1_000
            books = await one_loss(plan, supervisor, name)
            assert books.refused == [], name
            if name not in SHARED:
                assert not books.away, (name, books.away)
            if name.startswith("worker"):
                assert not books.cut, (name, books.cut)


def model(name: str, port: int) -> Process:
    """A slow model in a process of its own."""

    async def listens() -> bool:
        try:
            _, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            return False
        writer.close()
        return True

    words = python("-m", "tests.stack.slow_model", str(port))
    return Process(name=name, words=words, look=listens, without=(OURS,))


async def model_losses(folder: Path, *names: str) -> Sequence[Books]:
    """One run under way after the other, and the first of these models lost in each."""
    ports = dict(zip(names, (Ports.free().model for _ in names), strict=True))
    urls = [f"http://{HOST}:{port}/v1" for port in ports.values()]
    beside = [model(name, port) for name, port in ports.items()]
    async with stack(folder, *urls, beside=beside) as (plan, supervisor):
        return [await one_loss(plan, supervisor, names[0]) for _ in range(2)]


@pytest.mark.siege
@pytest.mark.timeout(240)
async def test_an_api_and_a_worker_are_lost_and_nobody_notices_more_than_a_cut(
    tmp_path: Path,
) -> None:
    await losses(tmp_path, ["api-1", "worker-1"])


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_any_one_process_is_lost_and_nobody_notices_more_than_a_cut(tmp_path: Path) -> None:
    names = ["api-1", "api-2", "worker-1", "worker-2", "proxy", "redis", "documents"]
    await losses(tmp_path, names)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", [["model-1"], ["model-1", "model-2"]], ids=["one", "two"])
async def test_a_model_is_lost_in_mid_run_and_its_callers_notice_nothing(
    tmp_path: Path, names: Sequence[str]
) -> None:
    for books in await model_losses(tmp_path, *names):
        assert (books.refused, books.away, books.cut) == ([], {}, {})
