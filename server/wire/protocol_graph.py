"""A run as the thread-centric protocol tells it: entries of the event log as its events. Pure.

Each entry gives the same events to every reader, whenever it comes. Subgraphs begin and end by
what LangGraph tells of tasks, as in its own ``LifecycleTransformer``; a checkpoint is told before
the values of its step, which the clients put together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from graphs.event_log import Entry
from server.graph_stream import CHECKPOINT_REFS, checkpoint_of
from server.runs.asked import TEAM
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from server.wire.protocol import Namespace, Told
from server.wire.protocol_messages import Messages
from server.wire.protocol_team import TeamAgents
from server.wire.rendering import ending, team_values

_INTERRUPTS = "__interrupt__"
_CHECKPOINTS = frozenset({"checkpoints", CHECKPOINT_REFS})
_REPLACED = frozenset({"answered", "overtaken"})
_AGAIN = "The worker was lost; the run goes on from its last step."


class ProtocolRendering:
    """One run, shown its entries in order, from its start."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        self._messages = Messages()
        self._team = TeamAgents(self._messages) if record.asked.graph == TEAM else None
        self._children = _Children()
        # The values of a namespace's last step, until its checkpoint is told.
        self._held: Told | None = None
        self._told_state = False
        self._asked_in: dict[str, Namespace] = {}
        self._began = False

    def show(self, entry: Entry) -> list[Told]:
        """The events that an entry comes to."""
        return list(self._shown(entry))

    def _shown(self, entry: Entry) -> Iterator[Told]:
        event = entry.event
        if self._held is not None and not _is_checkpoint(event, self._held.namespace):
            yield from self._let_go()
        match event.get("type"):
            case "graph.chunk":
                yield from self._chunk(event, name=f"message-{entry.id}")
            case "run.started":
                yield from self._started()
            case "run.interrupted":
                yield from self._paused(event)
            case "run.finished" | "run.failed":
                yield from self._over(event)
            case _ if self._team is not None:
                yield from self._team.show(event)

    def _started(self) -> Iterator[Told]:
        if self._began:
            yield from self._messages.broken(_AGAIN)
            yield from self._end_children("interrupted", over=False)
            self._children = _Children()
        self._began = True
        yield self._lifecycle("running")

    def _chunk(self, event: Mapping[str, Any], *, name: str) -> Iterator[Told]:
        namespace: Namespace = tuple(event.get("ns") or ())
        data: Any = event.get("data")
        match event.get("mode"):
            case "values":
                yield from self._values(data, namespace)
            case "checkpoints":
                yield from self._checkpoint(checkpoint_of(data), namespace)
            case "checkpoint-refs":
                yield from self._checkpoint(data, namespace)
            case "updates":
                yield from _updates(data, namespace)
            case "messages":
                message, metadata = data
                yield from self._messages.show(message, metadata, namespace=namespace, name=name)
            case "tasks":
                yield from self._task(data, namespace)
            case "tools" if isinstance(data, Mapping):
                yield Told(method="tools", data=data, namespace=namespace)
            case "custom":
                yield Told(method="custom", data={"payload": data}, namespace=namespace)
            case _:
                pass

    def _values(self, data: Any, namespace: Namespace) -> Iterator[Told]:
        if isinstance(data, Mapping):
            data = {key: value for key, value in data.items() if key != _INTERRUPTS}
        # All that wrote in this step is over.
        yield from self._messages.over(namespace)
        self._told_state = self._told_state or not namespace
        self._held = Told(method="values", data=data, namespace=namespace)

    def _checkpoint(self, reference: Any, namespace: Namespace) -> Iterator[Told]:
        if reference is not None:
            yield Told(method="checkpoints", data=reference, namespace=namespace)
        if self._held is not None and self._held.namespace == namespace:
            yield from self._let_go()

    def _let_go(self) -> Iterator[Told]:
        if self._held is not None:
            yield self._held
            self._held = None

    def _task(self, data: Any, namespace: Namespace) -> Iterator[Told]:
        if not isinstance(data, Mapping):
            return
        over = "result" in data
        if not over:
            yield from self._children.begun(data, namespace)
        else:
            for one in data.get("interrupts") or ():
                if isinstance(one, Mapping) and one.get("id"):
                    # The innermost graph that asks tells first.
                    self._asked_in.setdefault(str(one["id"]), namespace)
            yield from self._messages.over(namespace, task=str(data.get("id")))
        name = data.get("name")
        node = name if isinstance(name, str) else None
        yield Told(method="tasks", data=data, namespace=namespace, node=node)
        if over:
            yield from self._children.ended(data, namespace)

    def _paused(self, event: Mapping[str, Any]) -> Iterator[Told]:
        yield from self._close("interrupted", over=False)
        for one in event.get("interrupts") or ():
            data = {"interrupt_id": one["id"], "payload": one.get("value"), "value": one["value"]}
            if one.get("response_schema"):
                data["response_schema"] = one["response_schema"]
            where = self._asked_in.get(one["id"], ())
            yield Told(method="input.requested", data=data, namespace=where)
        yield self._lifecycle("interrupted", event)

    def _over(self, event: Mapping[str, Any]) -> Iterator[Told]:
        if not self._began and event.get("error") in _REPLACED:
            # It was told to have paused, and another run has gone on in its place.
            return
        status = ending(event)
        # A cancelled run is an interrupted one on this wire, too.
        phase = {RunStatus.SUCCESS: "completed", RunStatus.CANCELLED: "interrupted"}.get(
            status, "failed"
        )
        yield from self._close(phase, over=True)
        if self._team is not None and phase == "completed" and not self._told_state:
            yield Told(method="values", data=team_values(self._record, event))
        yield self._lifecycle(phase, event)

    def _close(self, phase: str, *, over: bool) -> Iterator[Told]:
        if phase == "completed":
            yield from self._messages.over(())
        else:
            yield from self._messages.broken(f"The run was {phase} before its end.")
        yield from self._end_children(phase, over=over)

    def _end_children(self, phase: str, *, over: bool) -> Iterator[Told]:
        yield from self._children.closed(phase)
        if self._team is not None:
            yield from self._team.closed(phase, over=over)

    def _lifecycle(self, phase: str, end: Mapping[str, Any] | None = None) -> Told:
        data: dict[str, Any] = {"event": phase, "graph_name": self._record.asked.graph}
        if end is not None and (checkpoint_id := end.get("checkpoint_id")):
            data["checkpoint"] = {"id": checkpoint_id}
        if phase == "failed" and end is not None:
            data["error"] = end.get("message") or end.get("error")
            data["code"] = end.get("error")
        return Told(method="lifecycle", data=data, of_run=True)


class _Children:
    """Subgraphs of one attempt: each begins with its first task and ends with its parent's."""

    def __init__(self) -> None:
        self._seen: set[Namespace] = set()
        self._open: dict[Namespace, str] = {}
        # Which call of a tool a task is, for subgraphs that a tool runs.
        self._calls: dict[str, str] = {}

    def begun(self, task: Mapping[str, Any], namespace: Namespace) -> Iterator[Told]:
        if (call := _call_of(task.get("input"))) is not None:
            self._calls[str(task.get("id"))] = call
        if not namespace or namespace in self._seen:
            return
        self._seen.add(namespace)
        name, _, parent = namespace[-1].partition(":")
        if not parent:
            return
        self._open[namespace] = parent
        agent = (task.get("metadata") or {}).get("lc_agent_name")
        data: dict[str, Any] = {
            "event": "started",
            "graph_name": agent or name,
            "trigger_call_id": parent,
        }
        if agent is not None and parent in self._calls:
            data["cause"] = {"type": "toolCall", "tool_call_id": self._calls[parent]}
        yield Told(method="lifecycle", data=data, namespace=namespace)

    def ended(self, task: Mapping[str, Any], namespace: Namespace) -> Iterator[Told]:
        data: dict[str, Any] = {"event": "completed"}
        if task.get("interrupts"):
            data["event"] = "interrupted"
        elif error := task.get("error"):
            data = {"event": "failed", "error": str(error)}
        for child, parent in list(self._open.items()):
            if child[:-1] == namespace and parent == task.get("id"):
                del self._open[child]
                yield Told(method="lifecycle", data=data, namespace=child)

    def closed(self, phase: str) -> Iterator[Told]:
        """The end of those whose parents did not tell theirs; the innermost first."""
        for child in sorted(self._open, key=len, reverse=True):
            yield Told(method="lifecycle", data={"event": phase}, namespace=child)
        self._open.clear()


def _is_checkpoint(event: Mapping[str, Any], namespace: Namespace) -> bool:
    is_one = event.get("type") == "graph.chunk" and event.get("mode") in _CHECKPOINTS
    return is_one and tuple(event.get("ns") or ()) == namespace


def _updates(data: Any, namespace: Namespace) -> Iterator[Told]:
    for node, values in data.items() if isinstance(data, Mapping) else ():
        if node.startswith("__"):
            continue
        told = {"node": node, "values": {} if values is None else values}
        yield Told(method="updates", data=told, namespace=namespace, node=node)


def _call_of(given: Any) -> str | None:
    """The id of the tool's call that a task was given, if it was given one."""
    if isinstance(given, Mapping):
        given = [given.get("tool_call")]
    for call in given if isinstance(given, list) else ():
        if isinstance(call, Mapping) and isinstance(call.get("id"), str):
            return str(call["id"])
    return None
