"""Workers that live on when they are thought dead, and clocks that are wrong."""

from __future__ import annotations

import signal

from tests.faults.graph import UNBLOCK, steps_of
from tests.faults.oracle import Accepted, OracleError, Repeated
from tests.faults.scenarios.kills import RESUME_SECONDS, resumed
from tests.faults.stage import LEASE_SECONDS, Stage
from tests.faults.world import Hold, Phase, Place

_REACHED_SECONDS = 20.0


async def _held(there: Stage, how: Hold) -> tuple[Accepted, Place, int]:
    name, program = there.name(), there.program()
    steps = steps_of(program)
    # Not the last one: there has to be a step that the zombie must not reach.
    place = Place(
        run=name,
        step=there.rng.choice(steps[:-3] or steps[:1]),
        phase=there.rng.choice((Phase.BEFORE, Phase.AFTER)),
    )
    await there.world.hold(place, how)
    run = await there.accept(program, name=name)
    first = await there.worker(concurrency=2)
    assert await there.world.reached(place, within=_REACHED_SECONDS) == first.pid
    return run, place, first.pid


async def _harmless(there: Stage, run: Accepted, place: Place, pid: int) -> None:
    """The zombie did nothing behind the step that it was in, and works again as if new."""
    steps = steps_of(run.program or "")
    behind = set(steps[steps.index(place.step) + 1 :])
    letter = place.step.partition(".")[0]
    behind -= {one for one in steps if one.partition(".")[0] == letter}
    late = [e for e in await there.world.effects() if e.pid == pid and e.run == run.name]
    if beyond := [e.step for e in late if e.step in behind]:
        raise OracleError(f"(v) the zombie went on to the steps {beyond}")
    for child in there.children:
        if child.pid != pid:
            await child.stop()
    again = await there.accept(there.program())
    await there.until(again, "success", within=10)
    if {e.pid for e in await there.world.effects() if e.run == again.name} != {pid}:
        raise OracleError("the next run was not worked on by the former zombie")
    allowed = {run.name: [one for one in steps if one.partition(".")[0] == letter]}
    await there.judge(repeated=Repeated(by_run=allowed), killed=True)
    await there.cleared()


async def stopped(there: Stage) -> None:
    """3. SIGSTOP beyond the lease, then SIGCONT: its first write is refused."""
    run, place, pid = await _held(there, Hold.WAIT)
    zombie = there.children[0]
    zombie.send(signal.SIGSTOP)
    await there.worker(concurrency=2)
    if there.rng.random() < 0.5:
        await there.until(run, "success", within=RESUME_SECONDS + 5)
    else:
        # Awake while the other one is at work.
        await resumed(there, run, attempts=2, within=RESUME_SECONDS)
    await there.world.release(place)
    zombie.send(signal.SIGCONT)
    await there.until(run, "success", within=10)
    await _harmless(there, run, place, pid)


async def blocked(there: Stage) -> None:
    """4. An event loop that is blocked beyond the lease: as if stopped."""
    run, place, pid = await _held(there, Hold.BLOCK)
    zombie = there.children[0]
    await there.worker(concurrency=2)
    if there.rng.random() < 0.5:
        await there.until(run, "success", within=RESUME_SECONDS + 5)
    else:
        # It turns again while the other one is at work.
        await resumed(there, run, attempts=2, within=RESUME_SECONDS)
    zombie.send(UNBLOCK)
    await there.until(run, "success", within=10)
    await _harmless(there, run, place, pid)


async def wrong_clocks(there: Stage) -> None:
    """11. Clocks five minutes off: nobody is taken for dead too early, or too late."""
    name, program = there.name(), there.program()
    place = Place(run=name, step=there.rng.choice(steps_of(program)), phase=Phase.BEFORE)
    await there.world.hold(place, Hold.WAIT)
    run = await there.accept(program, name=name)
    off = there.rng.choice((-300.0, 300.0))
    first = await there.worker(concurrency=2, skew=off)
    await there.world.reached(place, within=_REACHED_SECONDS)
    await there.worker(concurrency=2, skew=-off)
    others = [await there.accept(there.program(), pace=0.05) for _ in range(3)]
    await there.settled(others)
    await there.pause(2.5 * LEASE_SECONDS)
    if (await there.runs.get(run.run_id)).attempts != 1:
        raise OracleError("a run of a living worker was taken over")
    await first.kill()
    await resumed(there, run, attempts=2, within=RESUME_SECONDS)
    await there.settled()
    letter = place.step.partition(".")[0]
    around = [one for one in steps_of(program) if one.partition(".")[0] == letter]
    await there.judge(repeated=Repeated(by_run={name: around}), killed=True)
    await there.cleared()
