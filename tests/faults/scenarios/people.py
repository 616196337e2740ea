"""Callers who ask twice, decide at once, or change their mind."""

from __future__ import annotations

import asyncio
import time

from server.runs.asked import Asked
from server.runs.record import RunConflictError, RunRecord
from tests.faults.graph import steps_of
from tests.faults.oracle import Accepted, OracleError, Repeated
from tests.faults.polling import eventually
from tests.faults.stage import Stage
from tests.faults.world import Hold, Phase, Place

CANCEL_SECONDS = 2.0
_REACHED_SECONDS = 20.0


async def one_key(there: Stage) -> None:
    """12. One Idempotency-Key fifty times at once gives one run."""
    await there.worker(concurrency=4)
    program, name, key = there.program(), there.name(), f"key-{there.seed}"
    asked = Asked(
        graph="work", assistant_id="work", input={"name": name, "program": program, "pace": 0.0}
    )
    records = await asyncio.gather(
        *(there.runs.create(asked, idempotency_key=key) for _ in range(50))
    )
    if len({record.run_id for record in records}) != 1:
        raise OracleError(f"{len({r.run_id for r in records})} runs for one key")
    there.note(records[0], name=name, program=program)
    await there.settled()
    again = await there.runs.create(asked, idempotency_key=key)
    if again.run_id != records[0].run_id:
        raise OracleError("once the run was over, its key gave another one")
    await there.judge()
    await there.cleared()


async def one_decision(there: Stage) -> None:
    """14. A hundred decide a paused run at once: one of them wins, and the tool runs once."""
    await there.worker(concurrency=4)
    program = f"{there.program(steps=2)}ps"
    run = await there.accept(program)
    await there.until(run, "interrupted")
    words = [f"{there.rng.choice(('approve', 'reject'))} {number}" for number in range(100)]

    async def decide(word: str) -> str | None:
        try:
            await there.runs.resume(run.run_id, tenant=run.tenant, value=word)
        except RunConflictError:
            return None
        return word

    won = [word for word in await asyncio.gather(*map(decide, words)) if word is not None]
    if len(won) != 1:
        raise OracleError(f"{len(won)} of 100 decisions won: {won[:5]}")
    await there.until(run, "success")
    latest = await there.saver.aget_tuple(
        {"configurable": {"thread_id": f"{run.tenant}:{run.thread_id}"}}
    )
    assert latest is not None
    answers = latest.checkpoint["channel_values"].get("answers")
    if answers != won:
        raise OracleError(f"the graph was told {answers}, the winner said {won}")
    await there.judge()
    await there.cleared()


async def cancelled(there: Stage) -> None:
    """13. A cancel in every phase ends the run within two seconds where a worker lives."""
    phase = there.rng.choice((_queued, _running, _paused, _dead_worker, _deaf_worker))
    await phase(there)
    await there.judge(repeated=Repeated(anywhere=3), killed=True)
    await there.cleared()


async def _cancel(there: Stage, run: Accepted, *, within: float = CANCEL_SECONDS) -> None:
    started = time.monotonic()
    await there.runs.cancel(run.run_id, tenant=run.tenant)
    await there.until(run, "cancelled", within=within)
    del started


async def _holding(there: Stage) -> tuple[Accepted, Place]:
    name, program = there.name(), there.program()
    place = Place(
        run=name,
        step=there.rng.choice(steps_of(program)),
        phase=there.rng.choice((Phase.BEFORE, Phase.AFTER)),
    )
    await there.world.hold(place, Hold.WAIT)
    return await there.accept(program, name=name, ends=("cancelled",)), place


async def _queued(there: Stage) -> None:
    """No worker has it yet; another run of its thread comes after it."""
    run = await there.accept(there.program(), ends=("cancelled",))
    behind = await there.accept(there.program(), thread_id=run.thread_id)
    await _cancel(there, run)
    await there.worker(concurrency=2)
    await there.until(behind, "success")


async def _running(there: Stage) -> None:
    run, place = await _holding(there)
    await there.worker(concurrency=2)
    await there.world.reached(place, within=_REACHED_SECONDS)
    behind = await there.accept(there.program(), thread_id=run.thread_id)
    await _cancel(there, run)
    await there.until(behind, "success")


async def _paused(there: Stage) -> None:
    run = await there.accept(f"{there.program(steps=2)}ps", ends=("cancelled",))
    await there.worker(concurrency=2)
    await there.until(run, "interrupted")
    await _cancel(there, run)
    await there.until(await there.accept(there.program(), thread_id=run.thread_id), "success")


async def _dead_worker(there: Stage) -> None:
    """Its worker died; another one lives."""
    run, place = await _holding(there)
    first = await there.worker(concurrency=2)
    await there.world.reached(place, within=_REACHED_SECONDS)
    await first.kill()
    await there.worker(concurrency=2)
    await _cancel(there, run, within=CANCEL_SECONDS + 1.0)


async def _deaf_worker(there: Stage) -> None:
    """Pub/sub lost its subscribers at the moment of the cancel."""
    run, place = await _holding(there)
    await there.worker(concurrency=2)
    await there.world.reached(place, within=_REACHED_SECONDS)
    await there.redis.client_kill_filter(_type="pubsub")
    await _cancel(there, run)


async def while_paused(there: Stage) -> None:
    """15. A new message, a cancel or a delete while a run is paused leaves nothing undecided."""
    await there.worker(concurrency=4)
    what = there.rng.choice((_message, _delete))
    run = await there.accept(
        f"{there.program(steps=2)}ps", ends=("success", "interrupted", "cancelled")
    )
    record = await there.until(run, "interrupted")
    await what(there, run, record)
    await there.judge()
    await there.cleared()


async def _message(there: Stage, run: Accepted, record: RunRecord) -> None:
    """The new run has the thread; a late decision must not answer what is not asked any more."""
    del record
    later = await there.accept(there.program(steps=3), thread_id=run.thread_id)
    await there.until(later, "success")
    try:
        await there.runs.resume(run.run_id, tenant=run.tenant, value="late")
    except RunConflictError:
        return
    await there.until(run, "success", "error", "cancelled")


async def _delete(there: Stage, run: Accepted, record: RunRecord) -> None:
    del record
    await there.runs.cancel(run.run_id, tenant=run.tenant)
    await there.until(run, "cancelled", within=CANCEL_SECONDS)
    await there.runs.delete(run.run_id, tenant=run.tenant)
    there.accepted.remove(run)
    there.gone.append(run.run_id)

    async def refused() -> bool:
        return await there.status(run) == ""

    await eventually(refused, within=5, what="the deleted run is gone")
