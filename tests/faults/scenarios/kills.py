"""Workers that end in the middle of their work."""

from __future__ import annotations

import asyncio
import signal
import time

from tests.faults.graph import BRANCHES, steps_of
from tests.faults.nursery import Child
from tests.faults.oracle import Accepted, OracleError, Repeated
from tests.faults.polling import eventually
from tests.faults.stage import LEASE_SECONDS, Stage
from tests.faults.world import Hold, Phase, Place

RESUME_SECONDS = LEASE_SECONDS + 2.0
_REACHED_SECONDS = 20.0


async def held(there: Stage, run: Accepted, step: str, phase: Phase) -> tuple[Place, int]:
    """Wait until the run is held at the place; gives the pid of its worker too."""
    place = Place(run=run.name, step=step, phase=phase)
    return place, await there.world.reached(place, within=_REACHED_SECONDS)


async def resumed(there: Stage, run: Accepted, *, attempts: int, within: float) -> None:
    """Wait until the run's work has begun so many times. Raises NotInTimeError."""

    async def look() -> bool:
        record = await there.runs.get(run.run_id, tenant=run.tenant)
        return record.attempts >= attempts and (
            record.status.is_terminal or record.status == "running"
        )

    await eventually(look, within=within, what=f"{run.name} begins again")


async def at_every_step(there: Stage) -> None:
    """1. SIGKILL at step boundaries and within steps: only the step in flight happens again."""
    await _killed(there, phases=tuple(Phase))


async def behind_an_effect(there: Stage) -> None:
    """2. SIGKILL between an effect and its checkpoint: under its key it happens once."""
    await _killed(there, phases=(Phase.AFTER,))


async def before_a_checkpoint(there: Stage) -> None:
    """1. SIGKILL when a step's writes are stored and its checkpoint is not: nothing comes again."""
    await _killed(there, phases=(Phase.STORED,))


async def _killed(there: Stage, *, phases: tuple[Phase, ...]) -> None:
    victims: list[tuple[Accepted, Place]] = []
    for _ in range(4):
        name, program = there.name(), there.program()
        step, phase = there.rng.choice(steps_of(program)), there.rng.choice(phases)
        if phase is Phase.STORED and "." in step:
            # The checkpoint behind branches is known by the last of them.
            step = f"{step.partition('.')[0]}.{BRANCHES - 1}"
        place = Place(run=name, step=step, phase=phase)
        await there.world.hold(place, Hold.WAIT)
        victims.append((await there.accept(program, name=name), place))
    workers = [await there.worker(concurrency=1) for _ in victims]
    pids = [await there.world.reached(place, within=_REACHED_SECONDS) for _, place in victims]
    if sorted(pids) != sorted(worker.pid for worker in workers):
        raise OracleError(f"runs are held by {pids}, each worker was to have one")
    await asyncio.gather(*(_beside_stored(there, *victim) for victim in victims))
    await there.worker(concurrency=4)
    await asyncio.gather(*(worker.kill() for worker in workers))
    killed = time.monotonic()
    for run, _ in victims:
        left = RESUME_SECONDS - (time.monotonic() - killed)
        await resumed(there, run, attempts=2, within=left)
    await there.settled()
    died_in = {r.name: [p.step] for r, p in victims if p.phase is not Phase.STORED}
    await there.judge(repeated=Repeated(by_run=died_in), killed=True)
    await there.cleared()


async def _beside_stored(there: Stage, run: Accepted, place: Place) -> None:
    """Where a branch is held, wait until what its neighbours did is stored."""
    step, _, branch = place.step.partition(".")
    if not branch or place.phase is Phase.STORED:
        return

    async def look() -> bool:
        latest = await there.saver.aget_tuple(
            {"configurable": {"thread_id": f"{run.tenant}:{run.thread_id}"}}
        )
        assert latest is not None
        done = {
            w
            for _, channel, value in latest.pending_writes or ()
            if channel == "done"
            for w in value
        }
        return len([word for word in done if word.startswith(f"{run.name}:{step}.")]) == 2

    await eventually(
        look, within=_REACHED_SECONDS, what=f"the neighbours of {place.key} are stored"
    )


async def poison(there: Stage) -> None:
    """5. A run that kills its worker ends after three attempts; the others go on."""
    name, program = there.name(), there.program()
    step = there.rng.choice(steps_of(program))
    await there.world.hold(Place(run=name, step=step, phase=Phase.BEFORE), Hold.DIE)
    others = [await there.accept(there.program()) for _ in range(2)]
    doomed = await there.accept(program, name=name, ends=("error",))
    others += [await there.accept(there.program(), pace=0.02) for _ in range(4)]
    concurrency = there.rng.choice((1, 4))
    deaths = 0
    stop = asyncio.Event()

    async def supervise() -> None:
        """What an init system does: whoever dies is started again."""
        nonlocal deaths
        while not stop.is_set():
            child = await there.worker(concurrency=concurrency)
            ends = [asyncio.create_task(e.wait()) for e in (child.exited, stop)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for task in ends:
                task.cancel()
            deaths += child.status == -signal.SIGKILL

    supervising = [asyncio.create_task(supervise()) for _ in range(2)]
    try:
        record = await there.until(doomed, "error", within=30)
        await there.settled()
    finally:
        stop.set()
        await asyncio.gather(*supervising)
    if record.attempts != 3 or deaths != 3:
        raise OracleError(f"{record.attempts} attempts and {deaths} deaths, expected 3 of each")
    # Whoever worked beside the poison was in the middle of a step when its worker died.
    await there.judge(repeated=Repeated(anywhere=3 * concurrency * 3), killed=True)
    await there.cleared()
    del others


async def drained(there: Stage) -> None:
    """6. SIGTERM: what ends within the grace ends here, the rest at once elsewhere."""
    runs: list[tuple[Accepted, Place]] = []
    for _ in range(3):
        name, program = there.name(), there.program()
        place = Place(
            run=name,
            step=there.rng.choice(steps_of(program)),
            phase=there.rng.choice((Phase.BEFORE, Phase.AFTER)),
        )
        await there.world.hold(place, Hold.WAIT)
        runs.append((await there.accept(program, name=name), place))
    first: Child = await there.worker(concurrency=4, grace=1.0)
    for _, place in runs:
        await there.world.reached(place, within=_REACHED_SECONDS)
    ending, place = runs[0]

    async def drain() -> None:
        first.send(signal.SIGTERM)
        await there.world.release(place)
        await first.gone(within=10)
        if first.status != 0:
            raise OracleError(f"a drained worker ended with {first.status}:\n{first.last_words()}")
        await there.until(ending, "success", within=1)
        await there.worker(concurrency=4)
        for run, _ in runs[1:]:
            await there.until(run, "success", within=RESUME_SECONDS)

    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(_kinds(there, run)) for run, _ in runs]
        group.create_task(drain())
    for (run, _), reader in zip(runs, readers, strict=True):
        if (kinds := reader.result())[-1:] != ["run.finished"]:
            raise OracleError(f"a reader of {run.name} saw {kinds[-3:]}")
        if run is not ending and (await there.runs.get(run.run_id)).attempts != 1:
            raise OracleError(f"{run.name}: being given back cost an attempt")
    await there.judge(
        repeated=Repeated(by_run={run.name: _around(run, place) for run, place in runs[1:]})
    )
    await there.cleared()


def _around(run: Accepted, place: Place) -> list[str]:
    """The step held, and its neighbours where it is one of several branches."""
    step, _, branch = place.step.partition(".")
    if not branch:
        return [place.step]
    return [one for one in steps_of(run.program or "") if one.partition(".")[0] == step]


async def _kinds(there: Stage, run: Accepted) -> list[str]:
    async with asyncio.timeout(40):
        return [entry.event["type"] async for entry in there.runs.events(run.run_id)]
