"""A run that is asked of a thread which waits for a person: it answers, or it takes the thread."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from uuid import UUID

import orjson

from server import answering
from server.auth import Caller
from server.runs.asked import Asked
from server.runs.record import RunRecord
from server.serving import Serving
from server.starting import goes_on_from
from server.threads.states import Place
from server.threads.thread import ThreadNotFoundError, ThreadRecord


async def waiting_run(
    house: Serving, thread_id: UUID | None, *, tenant: str
) -> ThreadRecord | None:
    """The thread, if a run of it waits for a person."""
    if thread_id is None:
        return None
    try:
        thread = await house.threads.get(str(thread_id), tenant=tenant)
    except ThreadNotFoundError:
        return None
    return thread if thread.paused else None


async def check_place(house: Serving, asked: Asked, thread_id: UUID | None, *, tenant: str) -> None:
    """Raises what the threads raise where the run is to go on from what its thread has not."""
    checkpoint_id = goes_on_from(asked)
    if thread_id is not None and checkpoint_id is not None:
        thread = await house.threads.get(str(thread_id), tenant=tenant)
        await house.states.check(thread, Place(checkpoint_id=checkpoint_id))


async def answered(house: Serving, asked: Asked, *, waiting: ThreadRecord, caller: Caller) -> Asked:
    """The same with what its ``command.resume`` decides, once the approval queue has it.

    Raises an ApprovalError; then nothing, or not all, is decided and no run is to be made.
    """
    paused = await house.runs.get(waiting.paused, tenant=waiting.tenant)
    command = dict(asked.command or {})
    command["resume"] = await answering.decided(
        house.approvals,
        paused=waiting.paused,
        thread_id=waiting.thread_id,
        tenant=waiting.tenant,
        resume=command["resume"],
        caller=caller,
    )
    asked = replace(asked, command=command, answers=waiting.paused)
    goes_elsewhere = asked.checkpoint or command.get("goto") or command.get("update")
    if asked.graph != paused.asked.graph or goes_elsewhere:
        return asked
    # An answer alone is no request of the one who gives it: it goes on for who asked, as it would
    # after a decision on any other surface.
    return replace(asked, user=paused.asked.user, roles=paused.asked.roles)


def answer_key(asked: Asked) -> str:
    """The same for runs that answer the same pause in the same way."""
    told = orjson.dumps((asked.command or {}).get("resume"), option=orjson.OPT_SORT_KEYS)
    return f"answers:{asked.answers}:{hashlib.sha256(told).hexdigest()}"


async def taken_over(
    house: Serving, record: RunRecord, *, waiting: ThreadRecord, caller: Caller
) -> None:
    """What the paused run asked is the new one's now; or nobody's, where that asks for no more."""
    if record.asked.answers:
        await house.approvals.hand_over(waiting.paused, to=record.run_id, tenant=record.tenant)
        return
    goes_to = (record.asked.command or {}).get("goto")
    why = "the thread was told to go elsewhere" if goes_to else "another run took its thread over"
    await house.approvals.settle_thread(record.tenant, record.thread_id, why=why, caller=caller)
