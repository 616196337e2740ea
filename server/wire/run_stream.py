"""LangGraph's wire for runs: what is asked, and a run rendered as its events. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from graphs.event_log import START, Entry
from server.errors import Invalid
from server.runs.records import RunRecord
from server.runs.transitions import RunStatus
from server.wire import sse
from server.wire.chat import COLLECTION

MODES = frozenset(
    "values updates messages messages-tuple custom events tasks checkpoints debug".split()
)
SERVED = frozenset({"custom", "values"})
_POSITION = re.compile(r"(\d{1,18})(-\d{1,18})?", re.ASCII)


class Configurable(BaseModel):
    model_config = ConfigDict(extra="ignore")

    collection: str | None = Field(default=None, pattern=COLLECTION)


class RunConfig(BaseModel):
    model_config = ConfigDict(extra="ignore")

    configurable: Configurable = Configurable()


class RunInput(BaseModel):
    model_config = ConfigDict(extra="ignore")

    messages: list[dict[str, Any]] | dict[str, Any] = Field(
        description='`{"role", "content"}` or `{"type", "content"}`'
    )


class RunRequest(BaseModel):
    """A run as asked; unknown fields are taken and not used."""

    model_config = ConfigDict(extra="ignore")

    assistant_id: str = Field(max_length=200, description="`team`, or an agent's name")
    input: RunInput
    config: RunConfig | None = None
    stream_mode: list[str] | str | None = None
    on_disconnect: Literal["cancel", "continue"] = "continue"

    @field_validator("stream_mode")
    @classmethod
    def _known(cls, value: list[str] | str | None) -> list[str] | str | None:
        modes([value] if isinstance(value, str) else value)
        return value

    @property
    def modes(self) -> frozenset[str]:
        asked = [self.stream_mode] if isinstance(self.stream_mode, str) else self.stream_mode
        return modes(asked)

    @property
    def collection(self) -> str | None:
        return self.config.configurable.collection if self.config else None

    @property
    def messages(self) -> list[dict[str, Any]]:
        given = self.input.messages
        return given if isinstance(given, list) else [given]


def modes(asked: list[str] | None) -> frozenset[str]:
    """Which of the served modes are wanted; all without a wish. Raises ValueError."""
    if asked is None:
        return SERVED
    if unknown := [mode for mode in asked if mode not in MODES]:
        raise ValueError(f"no mode {unknown[0][:50]!r}; use {', '.join(sorted(SERVED))}")
    return SERVED & frozenset(asked)


def query_modes(given: Sequence[str] | None) -> list[str] | None:
    """Modes from a query: repeated, in a comma list or as a JSON list; None for no wish."""
    found: list[str] = []
    for value in given or ():
        words = value.strip().removeprefix("[").removesuffix("]").split(",")
        found += [word.strip().strip('"') for word in words]
    return [mode for mode in found if mode] or None


def position(last_event_id: str | None) -> str:
    """The log id behind which to go on; ``-1``, ``0`` and ``-`` are the start. Raises Invalid."""
    given = (last_event_id or "").strip()
    if given in {"", "-", "-1", "0"}:
        return START
    if not _POSITION.fullmatch(given):
        raise Invalid(
            "Last-Event-ID: not an id of this stream; send the last one received, or -1 for all",
            param="Last-Event-ID",
        )
    return given


def head(record: RunRecord) -> bytes:
    """The first event: which run this is."""
    told = {"run_id": record.run_id, "thread_id": record.thread_id, "attempt": 1}
    return sse.frame(told, event="metadata")


def custom(entry: Entry) -> bytes:
    """One event of ours under its durable id; a gap in the log is one too."""
    return sse.frame(dict(entry.event), event="custom", id=entry.id)


def tail(record: RunRecord, *, wanted: frozenset[str]) -> list[bytes]:
    """The end of a run: its state or its error, and that it is over."""
    end = record.result or {}
    frames = []
    if end.get("type") == "run.failed":
        told = {"error": end.get("error"), "message": end.get("message")}
        frames.append(sse.frame(told, event="error"))
    elif end and "values" in wanted:
        frames.append(sse.frame(values(record, end), event="values"))
    over = {"run_id": record.run_id, "status": status(record.status)}
    return [*frames, sse.frame(over, event="end")]


def values(record: RunRecord, end: Mapping[str, Any]) -> dict[str, Any]:
    """What the run came to, as a state: its messages with the answer, sources and spending."""
    kinds = {"user": "human", "assistant": "ai", "system": "system"}
    said = [*record.asked.messages, {"role": "assistant", "content": end.get("answer", "")}]
    return {
        "messages": [
            {
                "type": kinds.get(message["role"], "human"),
                "content": message["content"],
                "id": f"{record.run_id}-{number}",
            }
            for number, message in enumerate(said)
        ],
        "sources": end.get("sources", []),
        "stop_reason": end.get("stop_reason"),
        "usage": end.get("usage"),
    }


def status(status: RunStatus) -> str:
    """The run's state in this wire's words, which have none for a cancelled run."""
    return "interrupted" if status is RunStatus.CANCELLED else status.value


def run_object(record: RunRecord) -> dict[str, Any]:
    """The run as this wire shows it."""
    return {
        "run_id": record.run_id,
        "thread_id": record.thread_id,
        "assistant_id": record.asked.agent,
        "created_at": record.created_at.isoformat() if record.created_at else None,
        "updated_at": record.updated_at.isoformat() if record.updated_at else None,
        "status": status(record.status),
        "cancel_reason": "cancelled" if record.status is RunStatus.CANCELLED else None,
        "metadata": {},
        "kwargs": {"config": {"configurable": {"collection": record.asked.collection}}},
        "multitask_strategy": "enqueue",
        "attempts": record.attempts,
        "error": record.error,
        "result": record.result,
    }


def place(record: RunRecord) -> dict[str, str]:
    """Headers that say where the run is, and where its stream can be taken up again."""
    path = f"/threads/{record.thread_id}/runs/{record.run_id}"
    return {"Content-Location": path, "Location": f"{path}/stream"}
