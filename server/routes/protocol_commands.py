"""What a client of the thread-centric protocol asks of a thread, done."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any, cast
from uuid import UUID

from graphs.event_log import ORIGIN, position
from graphs.plain import plain
from server.errors import fault_of
from server.routes.run_answers import Desk
from server.routes.run_resumes import waiting_run
from server.runs.record import RunNotFoundError, RunRecord
from server.threads.states import CheckpointNotFoundError, Place
from server.threads.thread import ThreadRecord
from server.wire import protocol_commands, protocol_stream
from server.wire.protocol_commands import CommandError, ThreadCommand, joined, read
from server.wire.protocol_tree import Tree

_OVER_SOCKET = "needs a WebSocket; over HTTP, POST the subscription to /threads/ID/stream/events"


async def answer(desk: Desk, thread_id: UUID, command: ThreadCommand) -> dict[str, Any]:
    """The answer to a command. Raises what is no fault of the command's: no Redis, say."""
    try:
        return await _carried_out(desk, thread_id, command)
    except CommandError as error:
        return command.failed(error)
    except Exception as error:
        fault = fault_of(error)
        # Clients try again what may go another time; that is told by the status.
        if fault is None or fault.status_code == 429 or fault.status_code >= 500:
            raise
        return command.failed(CommandError(_code(error, fault.status_code), str(fault.detail)))


async def _carried_out(desk: Desk, thread_id: UUID, command: ThreadCommand) -> dict[str, Any]:
    params = command.params
    match command.method:
        case "run.start":
            through = await _newest(desk, thread_id)
            record = await _start(desk, thread_id, protocol_commands.run_of(params))
            return command.succeeded({"run_id": record.run_id}, through=through)
        case "input.respond":
            through = await _newest(desk, thread_id)
            record = await _respond(desk, thread_id, params)
            return command.succeeded({"run_id": record.run_id}, through=through)
        case "agent.getTree":
            return command.succeeded({"tree": await _tree(desk, thread_id, params)})
        case "state.get":
            return command.succeeded(await _state(desk, thread_id, params))
        case "state.listCheckpoints":
            return command.succeeded({"checkpoints": await _checkpoints(desk, thread_id, params)})
        case "state.fork":
            through = await _newest(desk, thread_id)
            record = await _fork(desk, thread_id, params)
            return command.succeeded(
                {"run_id": record.run_id, "thread_id": record.thread_id}, through=through
            )
        case "subscription.subscribe" | "subscription.unsubscribe":
            raise CommandError("not_supported", f"{command.method}: {_OVER_SOCKET}")
        case "subscription.reconnect" | "input.inject":
            raise CommandError("not_supported", f"{command.method} is not offered")
        case _:
            raise CommandError("unknown_command", f"method: there is no {command.method[:50]!r}")


def _code(error: Exception, status: int) -> str:
    match error:
        case RunNotFoundError():
            return "no_such_run"
        case CheckpointNotFoundError():
            return "no_such_checkpoint"
    return "permission_denied" if status == 403 else "invalid_argument"


async def _newest(desk: Desk, thread_id: UUID) -> int:
    """Up to which event a client has seen what was there before its command."""
    newest = await desk.house.runs.newest(str(thread_id), tenant=desk.caller.tenant)
    return protocol_stream.seq_of(newest)


async def _start(desk: Desk, thread_id: UUID, run: protocol_commands.ThreadRun) -> RunRecord:
    waiting = await waiting_run(desk.house, thread_id, tenant=desk.caller.tenant)
    if waiting is not None:
        paused = await _paused(desk, waiting)
        # At a breakpoint nothing was asked, so that an input is one.
        if _open(paused) and protocol_commands.resumes(run, paused=paused.asked.graph):
            run = protocol_commands.resumed(run, paused=paused.asked)
    return await desk.start(run, thread_id=thread_id)


async def _respond(desk: Desk, thread_id: UUID, params: Mapping[str, Any]) -> RunRecord:
    given = read(protocol_commands.Respond, params)
    waiting = await waiting_run(desk.house, thread_id, tenant=desk.caller.tenant)
    paused = await _paused(desk, waiting) if waiting is not None else None
    open_ids = _open(paused) if paused is not None else []
    if gone := [name for name in given.answers if name not in open_ids]:
        waits = f"; what waits is {', '.join(open_ids)}" if open_ids else "; nothing waits"
        raise CommandError("no_such_interrupt", f"interrupt_id: no {gone[0][:100]!r}{waits}")
    assert paused is not None
    return await desk.start(given.run(paused.asked), thread_id=thread_id)


def _open(paused: RunRecord) -> list[str]:
    """The interrupts that wait for an answer."""
    return [str(one["id"]) for one in (paused.result or {}).get("interrupts") or ()]


async def _paused(desk: Desk, waiting: ThreadRecord) -> RunRecord:
    return await desk.house.runs.get(waiting.paused, tenant=desk.caller.tenant)


async def _fork(desk: Desk, thread_id: UUID, params: Mapping[str, Any]) -> RunRecord:
    given = read(protocol_commands.Fork, params)
    last = await _last(desk, thread_id)
    config = dict(given.config or {})
    place = {**(config.get("configurable") or {}), "checkpoint_id": given.checkpoint_id}
    run = protocol_commands.run_of(
        {
            "assistant_id": last.asked.assistant_id,
            "input": given.input,
            "config": {**config, "configurable": place},
        }
    )
    return await desk.start(run, thread_id=thread_id)


async def _last(desk: Desk, thread_id: UUID) -> RunRecord:
    found = await desk.house.runs.of_thread(str(thread_id), tenant=desk.caller.tenant, limit=1)
    if not found:
        raise CommandError("no_such_run", f"thread {thread_id} has no run yet; start one")
    return found[0]


async def _thread(desk: Desk, thread_id: UUID) -> ThreadRecord:
    return await desk.house.threads.get(str(thread_id), tenant=desk.caller.tenant)


async def _state(desk: Desk, thread_id: UUID, params: Mapping[str, Any]) -> dict[str, Any]:
    given = read(protocol_commands.StateGet, params)
    at = Place(namespace=joined(given.namespace))
    found = await desk.house.states.get(await _thread(desk, thread_id), at)
    values = plain(found.values)
    if given.keys is not None and isinstance(values, Mapping):
        values = {key: values[key] for key in given.keys if key in values}
    checkpoint_id = (found.config.get("configurable") or {}).get("checkpoint_id")
    checkpoint = {"checkpoint": {"id": checkpoint_id, "ns": at.namespace}} if checkpoint_id else {}
    return {"values": values, **checkpoint}


async def _checkpoints(
    desk: Desk, thread_id: UUID, params: Mapping[str, Any]
) -> list[dict[str, Any]]:
    given = read(protocol_commands.ListCheckpoints, params)
    found = await desk.house.states.history(
        await _thread(desk, thread_id),
        limit=given.limit,
        before=given.before,
        at=Place(namespace=joined(given.namespace)),
    )
    return [
        {
            "id": (one.config.get("configurable") or {}).get("checkpoint_id"),
            "timestamp": one.created_at,
            "step": (one.metadata or {}).get("step", 0),
            "metadata": plain(dict(one.metadata or {})),
        }
        for one in found
    ]


async def _tree(desk: Desk, thread_id: UUID, params: Mapping[str, Any]) -> dict[str, Any]:
    """The agents of a run, as far as it has come."""
    given = read(protocol_commands.GetTree, params)
    runs, tenant = desk.house.runs, desk.caller.tenant
    record = await _last(desk, thread_id)
    if given.run_id is not None and given.run_id != record.run_id:
        record = await runs.get(given.run_id, tenant=tenant)
        if record.thread_id != str(thread_id):
            raise CommandError("no_such_run", f"run_id: no run {given.run_id} on this thread")
    tree = Tree(record)
    newest = await runs.newest(str(thread_id), tenant=tenant)
    if newest != ORIGIN:
        # Up to now: what the run tells by itself is followed to its end, or its beginning.
        async with aclosing(cast("Any", runs.thread_events(str(thread_id), tenant=tenant))) as told:
            async for entry in told:
                if entry.run_id == record.run_id:
                    tree.show(entry)
                if position(entry.id) >= position(newest):
                    break
    return tree.root
