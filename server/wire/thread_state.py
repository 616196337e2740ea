"""LangGraph's wire for the states of threads: bodies that come in, and ThreadState. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from langchain_core.runnables import RunnableConfig
from langgraph.types import Interrupt, PregelTask, StateSnapshot
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from graphs.plain import plain
from server.threads.states import Place, Update
from server.wire.json_fields import AnyJson, JsonObject
from server.wire.messages import storable

FIELDS = (
    "values",
    "next",
    "tasks",
    "metadata",
    "created_at",
    "checkpoint",
    "parent_checkpoint",
    "interrupts",
    "checkpoint_id",
    "parent_checkpoint_id",
)
MOST_STATES = 1_000
LONGEST_ID = 512


def selected(names: Sequence[str]) -> Sequence[str]:
    """Fields of a state, ``values.<key>`` among them, that there are. Raises ValueError."""
    for name in names:
        if name not in FIELDS and not (name.startswith("values.") and len(name) > len("values.")):
            raise ValueError(
                f"{storable(name)[:50]!r} is no field of a state; use {', '.join(FIELDS)}, "
                "or values.<key>"
            )
    return names


Select = Annotated[list[str] | None, AfterValidator(lambda given: given and selected(given))]
Word = Annotated[str, Field(max_length=LONGEST_ID), AfterValidator(storable)]


class CheckpointRef(BaseModel):
    """A checkpoint as clients hold it, or a config with one under ``configurable``."""

    model_config = ConfigDict(extra="ignore")

    checkpoint_id: Word | None = None
    checkpoint_ns: Annotated[str, Field(max_length=4_096), AfterValidator(storable)] | None = None
    checkpoint_map: JsonObject | None = None

    @model_validator(mode="before")
    @classmethod
    def _unwrapped(cls, given: Any) -> Any:
        if isinstance(given, dict) and isinstance(given.get("configurable"), dict):
            return given["configurable"]
        return given

    @property
    def place(self) -> Place:
        """Where it is in a thread."""
        return Place(
            checkpoint_id=self.checkpoint_id or "",
            namespace=self.checkpoint_ns or "",
            checkpoints=self.checkpoint_map,
        )


class StateRead(BaseModel):
    """Which state to look at."""

    model_config = ConfigDict(extra="ignore")

    checkpoint: CheckpointRef
    subgraphs: bool | None = None
    select: Select = None


class HistoryRead(BaseModel):
    """Which states to list, the newest first."""

    model_config = ConfigDict(extra="ignore")

    limit: int = Field(default=10, ge=1, le=MOST_STATES)
    before: Word | CheckpointRef | None = None
    metadata: JsonObject | None = None
    checkpoint: CheckpointRef | None = None
    select: Select = None

    @property
    def before_id(self) -> str | None:
        """The id of the checkpoint to begin behind."""
        given = self.before
        return given.checkpoint_id if isinstance(given, CheckpointRef) else given


class CommandBody(BaseModel):
    """A command as a node would give it back."""

    model_config = ConfigDict(extra="ignore")

    update: AnyJson = None
    resume: AnyJson = None
    goto: AnyJson = ()


class UpdateBody(BaseModel):
    """One change within a superstep."""

    model_config = ConfigDict(extra="ignore")

    values: AnyJson = None
    command: CommandBody | None = None
    as_node: Word | None = None

    @property
    def update(self) -> Update:
        """As the states take it."""
        command = self.command.model_dump(exclude_unset=True) if self.command else None
        return Update(values=self.values, as_node=self.as_node, command=command)


class Superstep(BaseModel):
    """Changes that happened in the same step."""

    model_config = ConfigDict(extra="ignore")

    updates: list[UpdateBody] = Field(min_length=1, max_length=1_000)


class StateWrite(BaseModel):
    """A change of the state, on top of the latest checkpoint or of another."""

    model_config = ConfigDict(extra="ignore")

    values: AnyJson = None
    as_node: Word | None = None
    checkpoint: CheckpointRef | None = None
    checkpoint_id: Word | None = None

    @property
    def place(self) -> Place:
        """On top of what."""
        if self.checkpoint is not None and self.checkpoint.checkpoint_id:
            return self.checkpoint.place
        namespace = (self.checkpoint.checkpoint_ns if self.checkpoint else None) or ""
        return Place(checkpoint_id=self.checkpoint_id or "", namespace=namespace)


class StateNote(BaseModel):
    """Metadata for the latest state."""

    model_config = ConfigDict(extra="ignore")

    metadata: JsonObject
    checkpoint: CheckpointRef | None = None


def checkpoint(config: RunnableConfig | None, *, thread_id: str) -> dict[str, Any] | None:
    """A checkpoint as clients hold it, with the thread's public id; None where there is none."""
    given = (config or {}).get("configurable") or {}
    if not given.get("checkpoint_id"):
        return None
    told = {
        "thread_id": thread_id,
        "checkpoint_ns": given.get("checkpoint_ns") or "",
        "checkpoint_id": given["checkpoint_id"],
    }
    if given.get("checkpoint_map"):
        told["checkpoint_map"] = plain(given["checkpoint_map"])
    return told


def state(
    snapshot: StateSnapshot, *, thread_id: str, select: Sequence[str] | None = None
) -> dict[str, Any]:
    """A ThreadState, or the asked fields of it."""
    here = checkpoint(snapshot.config, thread_id=thread_id) if snapshot.created_at else None
    parent = checkpoint(snapshot.parent_config, thread_id=thread_id)
    told = {
        "values": _values(snapshot.values, select),
        "next": list(snapshot.next),
        "tasks": [_task(task, thread_id=thread_id) for task in snapshot.tasks],
        "metadata": plain(snapshot.metadata or {}),
        "created_at": snapshot.created_at,
        "checkpoint": here,
        "parent_checkpoint": parent,
        "interrupts": interrupts(snapshot.interrupts),
        "checkpoint_id": here["checkpoint_id"] if here else None,
        "parent_checkpoint_id": parent["checkpoint_id"] if parent else None,
    }
    if not select:
        return told
    wanted = {name.partition(".")[0] for name in select}
    return {name: value for name, value in told.items() if name in wanted}


def interrupts(raised: Sequence[Interrupt]) -> list[dict[str, Any]]:
    """What waits for an answer, with the schema that the answer has to fit where there is one."""
    return [
        {**plain(one), "response_schema": plain(one.response_schema)}
        if isinstance(one.response_schema, dict)
        else plain(one)
        for one in raised
    ]


def _values(values: Any, select: Sequence[str] | None) -> Any:
    keys = {name.partition(".")[2] for name in select or () if name.startswith("values.")}
    if keys and "values" not in (select or ()) and isinstance(values, Mapping):
        values = {key: value for key, value in values.items() if key in keys}
    return plain(values)


def _task(task: PregelTask, *, thread_id: str) -> dict[str, Any]:
    inner = task.state
    nested = isinstance(inner, StateSnapshot)
    place: Any = inner.config if isinstance(inner, StateSnapshot) else inner
    told = (place or {}).get("configurable")
    return {
        "id": task.id,
        "name": task.name,
        "path": plain(task.path),
        "error": _error(task.error),
        "interrupts": interrupts(task.interrupts),
        "checkpoint": {
            "thread_id": thread_id,
            "checkpoint_ns": told.get("checkpoint_ns") or "",
            **({"checkpoint_id": told["checkpoint_id"]} if told.get("checkpoint_id") else {}),
        }
        if told
        else None,
        "state": state(inner, thread_id=thread_id) if nested else None,  # type: ignore[arg-type]
        "result": plain(task.result),
    }


def _error(error: Any) -> str | None:
    if error is None:
        return None
    return storable(repr(error) if isinstance(error, BaseException) else str(error))
