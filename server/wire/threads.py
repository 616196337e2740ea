"""LangGraph's wire for threads: bodies that come in, and Thread. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from graphs.plain import plain
from server.threads.states import Look
from server.threads.thread import (
    CHAT,
    SOURCE,
    SortBy,
    Strategy,
    ThreadQuery,
    ThreadRecord,
    ThreadStatus,
    TimeToLive,
)
from server.wire import extracting
from server.wire.json_fields import JsonObject
from server.wire.messages import storable
from server.wire.thread_state import Superstep, interrupts

FIELDS = (
    "thread_id",
    "created_at",
    "updated_at",
    "state_updated_at",
    "metadata",
    "status",
    "config",
    "context",
    "error",
    "values",
    "interrupts",
)
MOST_THREADS = 1_000
_TEN_YEARS = 10 * 366 * 24 * 60


def _fields(given: list[str] | None) -> list[str] | None:
    for name in given or ():
        if name not in FIELDS:
            raise ValueError(
                f"{storable(name)[:50]!r} is no field of a thread; use {', '.join(FIELDS)}"
            )
    return given


def _paths(given: dict[str, str] | None) -> dict[str, str] | None:
    extracting.paths(given or {})
    return given


class Ttl(BaseModel):
    """How many minutes after its last change a thread goes, or shrinks to its latest state."""

    model_config = ConfigDict(extra="ignore")

    ttl: float = Field(gt=0, le=_TEN_YEARS)
    strategy: Strategy = Strategy.DELETE

    @model_validator(mode="before")
    @classmethod
    def _minutes(cls, given: Any) -> Any:
        minutes = isinstance(given, int | float) and not isinstance(given, bool)
        return {"ttl": given} if minutes else given

    @property
    def time_to_live(self) -> TimeToLive:
        """As records have it."""
        return TimeToLive(minutes=self.ttl, strategy=self.strategy)


class ThreadCreate(BaseModel):
    """A new thread."""

    model_config = ConfigDict(extra="ignore")

    thread_id: UUID | None = None
    metadata: JsonObject | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None
    supersteps: list[Superstep] | None = Field(default=None, max_length=1_000)
    ttl: Ttl | None = None


class ThreadPatch(BaseModel):
    """What to merge into a thread."""

    model_config = ConfigDict(extra="ignore")

    metadata: JsonObject | None = None
    ttl: Ttl | None = None


class ThreadCount(BaseModel):
    """Which threads are meant: those that hold all this."""

    model_config = ConfigDict(extra="ignore")

    metadata: JsonObject | None = Field(default=None, max_length=100)
    values: JsonObject | None = None
    status: ThreadStatus | None = None
    ids: list[UUID] | None = Field(default=None, max_length=MOST_THREADS)

    @property
    def query(self) -> ThreadQuery:
        """As records have it."""
        ids = None if self.ids is None else [str(one) for one in self.ids]
        metadata = self.metadata or {}
        # Frontends send a conversation anew each time: lists would be full of them. What waits for
        # a person is told wherever it began.
        named = ids is not None or SOURCE in metadata
        named = named or self.status not in {None, ThreadStatus.IDLE}
        without = None if named else (SOURCE, CHAT)
        return ThreadQuery(metadata=metadata, without=without, status=self.status, ids=ids)


class ThreadSearch(ThreadCount):
    """A page of threads, in an order, with only what is wanted of each."""

    limit: int = Field(default=10, ge=1, le=MOST_THREADS)
    offset: int = Field(default=0, ge=0, le=2**53)
    sort_by: SortBy | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: Annotated[list[str] | None, AfterValidator(_fields)] = None
    extract: Annotated[dict[str, str] | None, AfterValidator(_paths)] = None

    @property
    def query(self) -> ThreadQuery:
        """As records have it."""
        counted = super().query
        return ThreadQuery(
            metadata=counted.metadata,
            without=counted.without,
            status=counted.status,
            ids=counted.ids,
            sort_by=self.sort_by or SortBy.CREATED_AT,
            descending=self.sort_order != "asc",
        )

    @property
    def paths(self) -> Mapping[str, extracting.Path]:
        """What is extracted, by alias."""
        return extracting.paths(self.extract or {})

    def wants(self, name: str) -> bool:
        """Whether a field has to be known, to be shown or to be extracted from."""
        shown = self.select is None or name in self.select
        return shown or name in extracting.roots(list(self.paths.values()))


class ThreadPrune(BaseModel):
    """Threads that go, or shrink to their latest state."""

    model_config = ConfigDict(extra="ignore")

    thread_ids: list[UUID] = Field(max_length=MOST_THREADS)
    strategy: Strategy = Strategy.DELETE


def thread(record: ThreadRecord, look: Look, *, ttl: bool = False) -> dict[str, Any]:
    """A Thread, with its time to live where that was asked for."""
    told = {
        "thread_id": record.thread_id,
        "created_at": record.created_at.isoformat(),
        "updated_at": record.updated_at.isoformat(),
        "state_updated_at": record.state_updated_at.isoformat(),
        "metadata": dict(record.metadata),
        "status": record.status.value,
        "config": dict(record.config),
        "context": {},
        "error": record.error,
        "values": plain(look.values),
        "interrupts": {task: interrupts(raised) for task, raised in look.interrupts.items()},
    }
    if ttl:
        told["ttl"] = _ttl(record)
    return told


def listed(
    record: ThreadRecord,
    look: Look,
    *,
    select: Sequence[str] | None,
    paths: Mapping[str, extracting.Path],
) -> dict[str, Any]:
    """A Thread in a list: the fields that are wanted, and what was extracted."""
    whole = thread(record, look)
    told = whole if select is None else {name: whole[name] for name in FIELDS if name in select}
    if paths:
        told = {
            **told,
            "extracted": {alias: extracting.found(whole, path) for alias, path in paths.items()},
        }
    return told


def _ttl(record: ThreadRecord) -> dict[str, Any] | None:
    expires = record.expires_at
    if record.ttl is None or expires is None:
        return None
    return {
        "strategy": record.ttl.strategy.value,
        "ttl": record.ttl.minutes,
        "ttl_minutes": record.ttl.minutes,
        "expires_at": expires.isoformat(),
    }
