"""The thread-centric protocol over a WebSocket: commands, and the events of its subscriptions."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import aclosing, suppress
from typing import Any, cast
from uuid import UUID

import orjson
from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from server import patience
from server.errors import Fault, fault_of
from server.routes import protocol_commands
from server.routes.protocol_past import past_of
from server.routes.run_answers import Desk
from server.wire.protocol import Subscription
from server.wire.protocol_commands import CommandError, ThreadCommand, read, unreadable
from server.wire.protocol_stream import Cursor, ThreadEvents, outage
from server.wire.run_stream import Screens

MOST_SUBSCRIPTIONS = 100
_REFUSED = 4_000
"""Added to an HTTP status where a socket is closed for it, as the clients expect."""
_AWAY = 1_011

_log = logging.getLogger(__name__)


async def serve(websocket: WebSocket) -> None:
    """One client's connection to one thread, until either side leaves."""
    await websocket.accept()
    try:
        thread_id = UUID(websocket.path_params["thread_id"])
    except ValueError:
        await websocket.close(_REFUSED + 422, "thread_id: must be a UUID")
        return
    app = websocket.app
    desk = Desk(
        house=app.state.serving,
        caller=websocket.state.caller,
        heartbeat=app.state.heartbeat,
        screens=cast("Screens", app.state.screens),
        idempotency_key=None,
        collection=None,
    )
    connection = _Connection(websocket, desk, thread_id)
    try:
        await connection.run()
    except WebSocketDisconnect:
        pass
    finally:
        await connection.close()


class _Connection:
    def __init__(self, websocket: WebSocket, desk: Desk, thread_id: UUID) -> None:
        self._websocket = websocket
        self._desk = desk
        self._thread_id = thread_id
        self._subscriptions: dict[str, Cursor] = {}
        self._follower: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> None:
        """Answer commands in the order in which they come."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            said = message.get("text") or message.get("bytes") or ""
            try:
                command = ThreadCommand.model_validate(orjson.loads(said))
            except (ValidationError, orjson.JSONDecodeError) as error:
                await self._send(unreadable(error))
                continue
            try:
                await self._carried_out(command)
            except CommandError as error:
                await self._send(command.failed(error))
            except (RedisError, OSError) as error:
                await self._away(error)

    async def _carried_out(self, command: ThreadCommand) -> None:
        match command.method:
            case "subscription.subscribe":
                wanted = read(Subscription, command.params)
                if len(self._subscriptions) >= MOST_SUBSCRIPTIONS:
                    raise CommandError(
                        "invalid_argument",
                        f"a connection has at most {MOST_SUBSCRIPTIONS} subscriptions; "
                        "end one with subscription.unsubscribe",
                    )
                name = str(uuid.uuid4())
                # Clients know a subscription's events by its answer, which comes first.
                await self._send(command.succeeded({"subscription_id": name}))
                past = await past_of(self._desk, self._thread_id, wanted)
                self._subscriptions[name] = Cursor(wanted, past=past)
                await self._follow_anew()
            case "subscription.unsubscribe":
                name = str(command.params.get("subscription_id"))
                if self._subscriptions.pop(name, None) is None:
                    raise CommandError(
                        "no_such_subscription", f"subscription_id: no {name[:100]!r}"
                    )
                await self._send(command.succeeded({}))
            case _:
                await self._send(await self._answer(command))

    async def _answer(self, command: ThreadCommand) -> dict[str, Any]:
        try:
            return await protocol_commands.answer(self._desk, self._thread_id, command)
        except Exception as error:  # noqa: BLE001 - told to the client, who keeps the connection
            fault = fault_of(error)
            if fault is None:
                _log.exception("command %s failed", command.method)
                fault = Fault("an error inside the server; its log says more")
            return command.failed(CommandError("unknown_error", str(fault.detail)))

    async def _follow_anew(self) -> None:
        """Follow for all subscriptions, each from where it stands."""
        # Whoever is sending sends to the end, so that no event comes twice.
        async with self._one_at_a_time:
            await self._unfollow()
        self._follower = asyncio.create_task(self._follow(), name="protocol subscriptions")

    async def _unfollow(self) -> None:
        if self._follower is not None:
            await patience.over(self._follower)

    async def _follow(self) -> None:
        try:
            # A thread that was deleted is waited for as one that is not there yet.
            while True:
                await self._followed()
        except (RedisError, OSError) as error:
            await self._away(error)
        except WebSocketDisconnect:
            # It has left while something was on its way to it.
            pass
        except Exception:  # noqa: BLE001 - the client, who would wait for ever, connects anew
            _log.exception("thread %s cannot be followed", self._thread_id)
            await self._leave(None)

    async def _followed(self) -> None:
        """Tell in the log's order whatever any subscription wants, to the end of the log.

        The end of a run makes clients stop listening to all of them, so that none is ahead.
        """
        reader = ThreadEvents(
            self._desk.house.runs,
            thread_id=str(self._thread_id),
            tenant=self._desk.caller.tenant,
        )
        first = min((one.since_ms for one in self._subscriptions.values()), default=0)
        async with aclosing(reader.every(since_ms=first)) as found:
            async for one in found:
                cursors = list(self._subscriptions.values())
                # No event says for which subscription it is.
                if any(cursor.wants(one) for cursor in cursors):
                    await self._send(one.body)
                for cursor in cursors:
                    cursor.after = max(cursor.after, one.position)

    async def _away(self, error: Exception) -> None:
        _log.warning("thread %s cannot be followed: %s", self._thread_id, error)
        await self._leave(outage())

    async def _leave(self, said: dict[str, Any] | None) -> None:
        """The client connects anew, and takes up its subscriptions again."""
        with suppress(WebSocketDisconnect):
            if said is not None:
                await self._send(said)
            await self._websocket.close(_AWAY)

    async def _send(self, said: dict[str, Any]) -> None:
        async with self._one_at_a_time:
            if self._websocket.application_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect
            await self._websocket.send_text(
                orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS).decode()
            )

    async def close(self) -> None:
        """End what is followed."""
        await self._unfollow()
