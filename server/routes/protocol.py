"""The thread-centric protocol of LangGraph's newer clients: commands in, one stream of events out.

`threads.stream` of LangGraph's SDKs and `useStream` of `@langchain/react` speak it.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response

from server.routes import protocol_commands, protocol_socket
from server.routes.protocol_past import past_of
from server.routes.run_answers import DeskDep, LastEventId
from server.wire import rendering_ids, shapes, sse
from server.wire.protocol import Subscription
from server.wire.protocol_commands import ThreadCommand
from server.wire.protocol_stream import ThreadEvents
from server.wire.shapes import told

router = APIRouter(prefix="/threads/{thread_id}", tags=["runs"])


@router.post("/commands", responses=told(409))
async def command(thread_id: UUID, asked: ThreadCommand, desk: DeskDep) -> dict[str, Any]:
    """Start a run, answer what it asks, look at states.

    A command that is not carried out is answered with 200 and `{"type": "error"}`, as the
    protocol has it.
    """
    return await protocol_commands.answer(desk, thread_id, asked)


@router.post("/stream/events", response_model=None, responses=told(media=shapes.EVENTS))
async def follow(
    thread_id: UUID, asked: Subscription, desk: DeskDep, last_event_id: LastEventId = None
) -> Response:
    """The events of a thread's runs, from the first one that is kept, until the reader leaves.

    With `since` or `Last-Event-ID` from behind that. Who asks for `lifecycle` and `input` alone is
    not told again how runs ended that were over before. A thread that is not there yet is waited
    for: its first run makes it.
    """
    # An event's id may name its run in front.
    after = rendering_ids.parsed(last_event_id and last_event_id.rpartition(":")[2])
    reader = ThreadEvents(desk.house.runs, thread_id=str(thread_id), tenant=desk.caller.tenant)
    past = await past_of(desk, thread_id, asked, after=after)
    return sse.EventStream(
        reader.frames(asked, after=after, past=past),
        heartbeat=desk.heartbeat,
        headers={"Content-Location": f"/threads/{thread_id}/stream/events"},
    )


router.add_websocket_route(f"{router.prefix}/stream/events", protocol_socket.serve)
