"""What a run came to, for those who wait for it."""

from __future__ import annotations

from typing import Any

from graphs.plain import plain
from server.assistants.records import AssistantError
from server.runs.asked import TEAM
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.transitions import RunStatus
from server.serving import Serving
from server.threads.states import Place
from server.threads.thread import ThreadError
from server.wire import run_object
from server.wire.rendering import team_values

_TAKEN_BACK = {
    "__error__": {
        "error": "cancelled",
        "message": "The run was cancelled and taken back; nothing of it is left.",
    }
}


async def result(house: Serving, record: RunRecord) -> Any:
    """The graph's last state; for a pause its questions, for a failure its error.

    Comes once the run is over or waits for a person.
    """
    try:
        record = await house.runs.wait(record.run_id)
    except RunNotFoundError:
        return _TAKEN_BACK
    match record.status:
        case RunStatus.SUCCESS:
            return await values(house, record)
        case RunStatus.INTERRUPTED:
            return run_object.interrupts(record)
        case _:
            return run_object.error(record)


async def values(house: Serving, record: RunRecord) -> Any:
    """The state that a run ended or paused in; empty where it is not kept any more."""
    end = record.result or {}
    told, checkpoint_id = end.get("values"), end.get("checkpoint_id")
    if checkpoint_id and (told is None or not record.asked.temporary):
        try:
            thread = await house.threads.get(record.thread_id, tenant=record.tenant)
            found = await house.states.get(thread, Place(checkpoint_id=checkpoint_id))
        except (ThreadError, AssistantError):
            # Its thread went, or keeps fewer states than that.
            pass
        else:
            return plain(found.values)
    if told is not None:
        return told
    return team_values(record, end) if record.asked.graph == TEAM else {}
