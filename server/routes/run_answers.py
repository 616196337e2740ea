"""How a run is started and answered on LangGraph's wire: as an object, as a stream, as its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypeVar, cast
from uuid import UUID

from fastapi import Depends, Header, Request
from starlette.responses import JSONResponse, Response

from server.attaching import with_files
from server.auth import CallerDep
from server.errors import Invalid
from server.routes.run_ends import result, values
from server.routes.run_repeats import repeated
from server.routes.run_resumes import (
    answer_key,
    answered,
    check_place,
    taken_over,
    waiting_run,
)
from server.runs.asked import TEAM, Asked
from server.runs.record import RunNotFoundError, RunRecord
from server.serving import Heartbeat, House, Serving
from server.webhooks import checking
from server.wire import attachments, queries, run_object, run_request, sse
from server.wire.attachments import Taken
from server.wire.chat import COLLECTION
from server.wire.rendering import Wish
from server.wire.rendering_ids import BEGINNING, Position
from server.wire.run_request import RunRequest
from server.wire.run_stream import Screens, follow
from server.wire.thread_stream import ThreadStream

T = TypeVar("T")
Gone = Callable[[], Any]

LastEventId = Annotated[str | None, Header(alias="Last-Event-ID", max_length=100)]
IdempotencyKey = Annotated[
    str | None, Header(alias="Idempotency-Key", min_length=1, max_length=255)
]
CollectionHeader = Annotated[
    str | None, Header(alias="X-Counterpoint-Collection", pattern=COLLECTION)
]


def _found(outcome: T | BaseException) -> T:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _with_messages(request: RunRequest, messages: Sequence[Any]) -> RunRequest:
    return request.model_copy(update={"input": {**request.input, "messages": list(messages)}})


@dataclass(frozen=True, kw_only=True)
class Desk:
    """One request at the server: who asks whom, and how its answers are sent."""

    house: Serving
    caller: CallerDep
    heartbeat: float
    screens: Screens
    idempotency_key: str | None
    collection: str | None

    async def check(self, request: RunRequest, *, thread_id: UUID | None) -> Asked:
        """What a request comes to; raises as ``start`` does for one that is wrong in itself."""
        request, _ = await self._taken(request)
        request.checked(thread_id=str(thread_id) if thread_id else None)
        checking.check(request.webhook, self.house.settings)
        assistant = await self.house.assistants.resolve(
            request.assistant_id, tenant=self.caller.tenant
        )
        return run_request.asked(
            request,
            graph=assistant.graph_id,
            assistant_id=assistant.assistant_id,
            config=assistant.config,
            context=assistant.context,
            collection=self.collection or self.house.settings.collection,
            stateless=thread_id is None,
            user=self.caller.name,
            roles=sorted(self.caller.roles),
        )

    async def start(
        self, request: RunRequest, *, thread_id: UUID | None, part: int | None = None
    ) -> RunRecord:
        """Accept a run. ``part`` tells the runs of one request apart.

        Raises what the house raises, and Invalid or BadRequest for what does not go together.
        """
        request, files = await self._taken(request)
        # Each is a way to Redis, and they go it together; what is wrong in itself is told first.
        both = await asyncio.gather(
            self.check(request, thread_id=thread_id),
            waiting_run(self.house, thread_id, tenant=self.caller.tenant),
            return_exceptions=True,
        )
        asked, waiting = _found(both[0]), _found(both[1])
        on, key, also = str(thread_id) if thread_id else None, self._key(part), None
        # Looked for behind what waits: an answer sent again is none to the next question.
        known = await self.house.runs.known(key, tenant=self.caller.tenant) if key else None
        if known is not None:
            repeated(known, asked, thread_id=on, with_files=files is not None)
        else:
            await check_place(self.house, asked, thread_id, tenant=self.caller.tenant)
        if waiting and asked.command is not None and "resume" in asked.command and known is None:
            asked = await answered(self.house, asked, waiting=waiting, caller=self.caller)
            # Who says the same once more, as a double click does, is given the same run.
            also = answer_key(asked)

        async def create(names: Sequence[str], place: str | None) -> RunRecord:
            wanted = asked
            if files is not None:
                named = _with_messages(request, files.messages(names))
                again = await self.check(named, thread_id=thread_id)
                wanted = replace(asked, input=again.input, kwargs=again.kwargs)
            return await self.house.runs.create(
                wanted,
                tenant=self.caller.tenant,
                thread_id=place,
                idempotency_key=key,
                also_key=also,
                create_thread=thread_id is None or request.if_not_exists == "create",
                after_seconds=request.after_seconds,
            )

        record = await with_files(
            self.house.files,
            files.files if files is not None else (),
            tenant=self.caller.tenant,
            thread_id=on,
            create=create,
        )
        if key and not also:
            repeated(record, asked, thread_id=on, with_files=files is not None)
        if waiting is not None and record.asked.answers in {"", waiting.paused}:
            await taken_over(self.house, record, waiting=waiting, caller=self.caller)
        return record

    def _key(self, part: int | None) -> str | None:
        key = self.idempotency_key
        return f"{key}:{part}" if key and part is not None else key

    async def _taken(self, request: RunRequest) -> tuple[RunRequest, Taken | None]:
        """The request without the files in its messages, and those; None where it has none, or
        goes to a graph that reads its own input. Raises Invalid and what the assistants raise.
        """
        messages = request.input.get("messages") if isinstance(request.input, Mapping) else None
        listed = messages if isinstance(messages, list) else [messages]
        if not attachments.held(listed):
            return request, None
        assistant = await self.house.assistants.resolve(
            request.assistant_id, tenant=self.caller.tenant
        )
        if assistant.graph_id != TEAM:
            return request, None
        limit = self.house.settings.file_limits().file_bytes
        files = attachments.taken(listed, where="input.messages", limit=limit)
        if not files.files:
            return request, None
        return _with_messages(request, files.messages()), files

    async def run(self, run_id: UUID, *, thread_id: UUID | None) -> RunRecord:
        """The caller's run, if it belongs to the thread. Raises RunNotFoundError."""
        record = await self.house.runs.get(str(run_id), tenant=self.caller.tenant)
        if thread_id is not None and record.thread_id != str(thread_id):
            raise RunNotFoundError(f"no run {run_id} on thread {thread_id}")
        return record

    def thread_stream(self, thread_id: UUID, *, modes: Sequence[str]) -> ThreadStream:
        """One reader of everything that happens on a thread."""

        async def state_of(record: RunRecord) -> Any:
            return await values(self.house, record)

        return ThreadStream(
            self.house.runs,
            thread_id=str(thread_id),
            tenant=self.caller.tenant,
            modes=modes,
            state_of=state_of,
        )

    def stream(
        self,
        record: RunRecord,
        *,
        after: Position = BEGINNING,
        modes: Sequence[str] | None = None,
        cancel: bool = False,
    ) -> Response:
        """The run's events; in other modes than it was asked for if some are given.

        With ``cancel`` a reader who leaves ends the run.
        """
        asked = record.asked
        wish = Wish(modes=frozenset(modes or asked.stream_modes), subgraphs=asked.stream_subgraphs)
        # A client that comes back knows nothing but this address.
        query: dict[str, str | Sequence[str]] = {"stream_mode": modes} if modes else {}
        if cancel and asked.keep_on_disconnect:
            query["cancel_on_disconnect"] = "true"
        return sse.EventStream(
            follow(self.house.runs, record, wish, screens=self.screens, after=after),
            heartbeat=self.heartbeat,
            headers=run_object.place(record, again="stream", query=query),
            gone=self._cancelling(record) if cancel else None,
        )

    def wait(self, record: RunRecord, *, cancel: bool = False) -> Response:
        """What the run comes to, once it is over or waits for a person."""

        async def found() -> Any:
            return await result(self.house, record)

        return sse.SlowJSON(
            found,
            heartbeat=self.heartbeat,
            headers=run_object.place(record, again="join"),
            gone=self._cancelling(record) if cancel else None,
        )

    def shown(self, record: RunRecord) -> Response:
        return JSONResponse(run_object.run_object(record), headers=run_object.place(record))

    def _cancelling(self, record: RunRecord) -> Gone:
        async def cancel() -> None:
            await self.house.runs.cancel(record.run_id, tenant=record.tenant)

        return cancel


async def _desk(
    request: Request,
    house: House,
    heartbeat: Heartbeat,
    caller: CallerDep,
    idempotency_key: IdempotencyKey = None,
    collection: CollectionHeader = None,
) -> Desk:
    return Desk(
        house=house,
        caller=caller,
        heartbeat=heartbeat,
        screens=cast("Screens", request.app.state.screens),
        idempotency_key=idempotency_key,
        collection=collection,
    )


DeskDep = Annotated[Desk, Depends(_desk)]


def stream_modes(asked: Sequence[str] | None) -> list[str] | None:
    """Modes from a query, each once; None for no wish. Raises Invalid."""
    try:
        words = queries.names(asked)
        run_request.check_modes(words)
    except ValueError as error:
        raise Invalid(f"stream_mode: {error}", param="stream_mode") from None
    return words or None


def selected(asked: Sequence[str] | None, *, fields: Collection[str]) -> list[str] | None:
    """Names of fields from a query; None for all. Raises Invalid."""
    try:
        words = queries.names(asked)
    except ValueError as error:
        raise Invalid(f"select: {error}", param="select") from None
    if unknown := [word for word in words if word not in fields]:
        raise Invalid(
            f"select: no field {unknown[0][:50]!r}; use {', '.join(sorted(fields))}",
            param="select",
        )
    return words or None
