"""LangGraph's stream of a run: entries of the event log as named events. Pure.

Each entry gives the same events to every reader who wants the same, whenever it comes: that is
what makes a stream that was cut go on where it ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphs.event_log import GAP, Entry
from server.runs.asked import TEAM
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from server.wire.rendering_messages import Partials

Shown = tuple[str, Any]
"""The name of an event and its data."""

CHUNK = "graph.chunk"
DELTA = "model.delta"
PAUSE = "run.interrupted"

_INTERRUPTS = "__interrupt__"
# Neither ours to tell nor a graph's own writing.
_SILENT = frozenset({CHUNK, DELTA, PAUSE})


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a reader wants of a run: LangGraph's names of modes, and whether subgraphs speak."""

    modes: frozenset[str]
    subgraphs: bool = False


class Rendering:
    """One run for one reader; shown its entries in order, from its start."""

    def __init__(self, record: RunRecord, wish: Wish) -> None:
        self._record = record
        self._wish = wish
        self._team = record.asked.graph == TEAM
        self._partials = Partials() if "messages" in wish.modes else None
        self._told_state = False
        self._told_questions = False

    @property
    def needs_start(self) -> bool:
        """Whether what an entry comes to depends on those before it."""
        if "values" in self._wish.modes:
            waits = self._record.status is RunStatus.INTERRUPTED or self._record.resumes > 0
            return self._team or waits or self._partials is not None
        return self._partials is not None

    def head(self) -> Shown:
        """The first event: which run this is."""
        return "metadata", _metadata(self._record, attempt=1)

    def show(self, entry: Entry) -> list[Shown]:
        """The events that an entry comes to; a run's last one ends with ``end``."""
        return list(self._shown(entry))

    def pause(self) -> Shown:
        """What a stream ends with where its run waits for a person."""
        return "end", _end(self._record, status=RunStatus.INTERRUPTED)

    def tail(self, record: RunRecord) -> list[Shown]:
        """A gap and the end of a run that the log no longer tells; nothing while it is not over."""
        paused = record.status is RunStatus.INTERRUPTED
        if record.result is None or not (paused or record.status.is_terminal):
            return []
        gone = Entry(id="0-0", run_id="", event={"type": GAP})
        last = Entry(id="0-0", run_id=record.run_id, event=record.result)
        shown = [*self.show(gone), *self.show(last)]
        return [*shown, self.pause()] if paused else shown

    def _shown(self, entry: Entry) -> Iterator[Shown]:
        event = entry.event
        kind = event.get("type")
        if entry.is_gap:
            yield ("custom" if "custom" in self._wish.modes else "gap"), dict(event)
            return
        if kind == "run.started" and event.get("attempt", 1) > 1:
            yield "metadata", _metadata(self._record, attempt=event["attempt"])
        if self._team and kind not in _SILENT and "custom" in self._wish.modes:
            yield "custom", dict(event)
        match kind:
            case "graph.chunk":
                yield from self._chunk(event)
            case "model.delta":
                message, metadata = _piece(event, self._record)
                yield from self._message(message, metadata, suffix="")
            case "run.interrupted":
                yield from self._pause(event)
            case "run.finished" | "run.failed":
                yield from self._over(event)
            case _:
                pass

    def _chunk(self, event: Mapping[str, Any]) -> Iterator[Shown]:
        ns: Sequence[str] = event.get("ns") or ()
        if ns and not self._wish.subgraphs:
            return
        mode: str = event["mode"]
        data: Any = event.get("data")
        suffix = "".join(f"|{name}" for name in ns)
        if mode == "messages":
            message, metadata = data
            yield from self._message(message, metadata, suffix=suffix)
            return
        if mode == "values" and not ns:
            self._told_state = True
            self._told_questions = isinstance(data, Mapping) and bool(data.get(_INTERRUPTS))
        if mode in self._wish.modes:
            yield f"{mode}{suffix}", data

    def _message(self, message: Any, metadata: Any, *, suffix: str) -> Iterator[Shown]:
        if "messages-tuple" in self._wish.modes:
            yield f"messages{suffix}", [message, metadata]
        if self._partials is not None:
            yield from self._partials.show(message, metadata, suffix=suffix)

    def _pause(self, event: Mapping[str, Any]) -> Iterator[Shown]:
        if self._partials is not None:
            yield from self._partials.ending()
        # Where states are told, the graph's own last one may have held its questions.
        if not self._told_questions or "values" not in self._wish.modes:
            yield "values", {_INTERRUPTS: event.get("interrupts") or []}
        self._told_questions = False

    def _over(self, event: Mapping[str, Any]) -> Iterator[Shown]:
        if self._partials is not None:
            yield from self._partials.ending()
        if event["type"] == "run.failed":
            yield "error", {"error": event.get("error"), "message": event.get("message")}
        elif self._team and "values" in self._wish.modes and not self._told_state:
            yield "values", team_values(self._record, event)
        yield "end", _end(self._record, status=ending(event))


def ending(event: Mapping[str, Any]) -> RunStatus:
    """The state that a run's last event leaves it in."""
    if event["type"] != "run.failed":
        return RunStatus.SUCCESS
    match event.get("error"):
        case "cancelled":
            return RunStatus.CANCELLED
        case "timeout":
            return RunStatus.TIMEOUT
        case _:
            return RunStatus.ERROR


def wire_status(status: RunStatus) -> str:
    """The run's state in this wire's words, which have none for a cancelled run."""
    return "interrupted" if status is RunStatus.CANCELLED else status.value


def team_values(record: RunRecord, end: Mapping[str, Any]) -> dict[str, Any]:
    """What the team came to, as a state: its messages with the answer, sources and spending."""
    kinds = {"user": "human", "assistant": "ai", "system": "system"}
    said = [*record.asked.messages, {"role": "assistant", "content": end.get("answer", "")}]
    return {
        "messages": [
            {
                "type": kinds.get(message["role"], "human"),
                "content": message["content"],
                "id": message.get("id") or f"{record.run_id}-{number}",
            }
            for number, message in enumerate(said)
        ],
        "sources": end.get("sources", []),
        "stop_reason": end.get("stop_reason"),
        "usage": end.get("usage"),
    }


def _metadata(record: RunRecord, *, attempt: int) -> dict[str, Any]:
    return {"run_id": record.run_id, "thread_id": record.thread_id, "attempt": attempt}


def _end(record: RunRecord, *, status: RunStatus) -> dict[str, Any]:
    return {"run_id": record.run_id, "status": wire_status(status)}


def _piece(event: Mapping[str, Any], record: RunRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a model of the team writes, as LangGraph tells a graph's models."""
    reasoning = event.get("reasoning")
    message = {
        "type": "AIMessageChunk",
        "id": event["message_id"],
        "content": event["text"],
        "additional_kwargs": {"reasoning_content": reasoning} if reasoning else {},
        "response_metadata": {},
        "name": event["agent"],
        "tool_calls": [],
        "invalid_tool_calls": [],
        "tool_call_chunks": [],
    }
    metadata = {
        "langgraph_node": event["agent"],
        "langgraph_step": 0,
        "langgraph_checkpoint_ns": "",
        "run_id": record.run_id,
        "thread_id": record.thread_id,
        "task_id": event["task_id"],
        "tags": [],
    }
    return message, metadata
