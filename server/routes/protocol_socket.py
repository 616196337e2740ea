"""The thread-centric protocol over a WebSocket: commands, and the events of its subscriptions."""

from __future__ import annotations

import asyncio
import logging
import uuid
from contextlib import aclosing
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
from server.wire.protocol_stream import ThreadEvents, outage
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
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
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
                self._subscriptions[name] = asyncio.create_task(
                    self._follow(wanted), name="protocol subscription"
                )
            case "subscription.unsubscribe":
                name = str(command.params.get("subscription_id"))
                task = self._subscriptions.pop(name, None)
                if task is None:
                    raise CommandError(
                        "no_such_subscription", f"subscription_id: no {name[:100]!r}"
                    )
                await patience.over(task)
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

    async def _follow(self, wanted: Subscription) -> None:
        reader = ThreadEvents(
            self._desk.house.runs,
            thread_id=str(self._thread_id),
            tenant=self._desk.caller.tenant,
        )
        try:
            past = await past_of(self._desk, self._thread_id, wanted)
            async with aclosing(reader.events(wanted, past=past)) as found:
                async for one in found:
                    await self._send(one.body)
        except (RedisError, OSError) as error:
            _log.warning("thread %s cannot be followed: %s", self._thread_id, error)
            await self._send(outage())
            # The client connects anew, and takes up its subscriptions again.
            await self._websocket.close(_AWAY)
        except WebSocketDisconnect:
            # It has left while something was on its way to it.
            pass

    async def _send(self, said: dict[str, Any]) -> None:
        async with self._one_at_a_time:
            if self._websocket.application_state is not WebSocketState.CONNECTED:
                raise WebSocketDisconnect
            await self._websocket.send_text(
                orjson.dumps(said, option=orjson.OPT_NON_STR_KEYS).decode()
            )

    async def close(self) -> None:
        """End what is followed."""
        await patience.over(*self._subscriptions.values())
