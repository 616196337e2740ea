"""LangGraph's wire for crons: bodies that come in, and Cron. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from server.crons.cron import Cron, Definition
from server.crons.schedule import LONGEST, next_fire, zone
from server.threads.matching import contains
from server.wire.json_fields import JsonObject, checked
from server.wire.messages import storable
from server.wire.run_request import Nodes, Object, RunRequest

FIELDS = (
    "cron_id",
    "assistant_id",
    "thread_id",
    "on_run_completed",
    "end_time",
    "schedule",
    "timezone",
    "created_at",
    "updated_at",
    "payload",
    "user_id",
    "next_run_date",
    "metadata",
    "enabled",
    "error",
    "now",
)
MOST = 1_000
_TIMED = {"schedule", "timezone", "enabled", "end_time", "on_run_completed"}
# What a body may say of a run and a cron has no use for.
_UNUSED = {"metadata", "after_seconds", "if_not_exists", "on_disconnect", "on_completion"}
_RUN = set(RunRequest.model_fields) - _UNUSED - {"assistant_id"}


def _fields(given: list[str] | None) -> list[str] | None:
    for name in given or ():
        if name not in FIELDS:
            raise ValueError(
                f"{storable(name)[:50]!r} is no field of a cron; use {', '.join(FIELDS)}"
            )
    return given


class SortBy(StrEnum):
    """What crons are listed by."""

    CRON_ID = "cron_id"
    ASSISTANT_ID = "assistant_id"
    THREAD_ID = "thread_id"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"
    NEXT_RUN_DATE = "next_run_date"
    END_TIME = "end_time"


class CronCreate(RunRequest):
    """A new cron: when, and what is run then."""

    schedule: str = Field(min_length=1, max_length=LONGEST, description="`0 9 * * 1-5`, `@daily`")
    timezone: str | None = Field(default=None, max_length=100, description="IANA; absent: UTC")
    enabled: bool = True
    end_time: datetime | None = None
    on_run_completed: Literal["delete", "keep"] | None = None

    @field_validator("schedule")
    @classmethod
    def _readable(cls, value: str) -> str:
        if next_fire(value, UTC, datetime(2000, 1, 1, tzinfo=UTC)) is None:
            raise ValueError("never comes")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str | None) -> str | None:
        zone(value)
        return value

    @field_validator("end_time")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        # A time that names no timezone is UTC, as schedules are.
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    def definition(
        self,
        *,
        thread_id: UUID | None,
        assistant_id: str,
        user: str,
        roles: Sequence[str],
        collection: str = "",
    ) -> Definition:
        """The cron as it is stored."""
        run = self.model_dump(mode="json", exclude_unset=True, include=_RUN)
        if thread_id is None and self.on_run_completed is not None:
            run["on_completion"] = self.on_run_completed
        return Definition(
            schedule=self.schedule,
            timezone=self.timezone,
            enabled=self.enabled,
            end_time=self.end_time,
            assistant_id=assistant_id,
            thread_id=str(thread_id) if thread_id is not None else None,
            metadata=self.metadata or {},
            run=run,
            user=user,
            roles=roles,
            collection=collection,
        )


class CronPatch(BaseModel):
    """What becomes different; what is left out stays. ``end_time: null`` takes the end away."""

    model_config = ConfigDict(extra="ignore")

    schedule: str | None = None
    timezone: str | None = None
    enabled: bool | None = None
    end_time: datetime | None = None
    on_run_completed: Literal["delete", "keep"] | None = None
    input: Any = None
    command: Object | None = None
    config: Object | None = None
    context: Object | None = None
    metadata: JsonObject | None = None
    stream_mode: list[str] | str | None = None
    stream_subgraphs: bool | None = None
    stream_resumable: bool | None = None
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    webhook: str | None = None
    multitask_strategy: str | None = None
    durability: str | None = None
    checkpoint_during: bool | None = None

    @model_validator(mode="before")
    @classmethod
    def _json(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        kept = {"end_time", "input"}
        return {
            name: one for name, one in checked(value).items() if one is not None or name in kept
        }

    def onto(self, before: Definition, *, user: str, roles: Sequence[str]) -> Definition:
        """The cron with this in it; metadata is merged. Raises ValidationError.

        ``user``, with ``roles``, is who changes it: other runs than before are that one's request.
        """
        given = self.model_dump(exclude_unset=True)
        whole = CronCreate.model_validate(
            {
                **before.run,
                **{name: one for name, one in before.stored().items() if name in _TIMED},
                "assistant_id": before.assistant_id,
                "on_run_completed": before.run.get("on_completion"),
                **given,
                "metadata": {**before.metadata, **(self.metadata or {})},
            }
        )
        thread_id = UUID(before.thread_id) if before.thread_id else None
        after = whole.definition(
            thread_id=thread_id,
            assistant_id=before.assistant_id,
            user=before.user,
            roles=before.roles,
            collection=before.collection,
        )
        return after if after.run == before.run else replace(after, user=user, roles=roles)


class CronCount(BaseModel):
    """Which crons are meant: those that fit all this."""

    model_config = ConfigDict(extra="ignore")

    assistant_id: str | None = Field(default=None, max_length=200)
    thread_id: UUID | None = None
    enabled: bool | None = None
    metadata: JsonObject | None = None

    def fits(self, cron: Cron, *, assistant_id: str | None) -> bool:
        """Whether a cron is meant; ``assistant_id`` is what the name stands for."""
        wanted = cron.definition
        return (
            assistant_id in (None, wanted.assistant_id)
            and (self.thread_id is None or str(self.thread_id) == wanted.thread_id)
            and self.enabled in (None, wanted.enabled)
            and contains(wanted.metadata, self.metadata or {})
        )


class CronSearch(CronCount):
    """A page of crons, in an order."""

    limit: int = Field(default=10, ge=1, le=MOST)
    offset: int = Field(default=0, ge=0, le=2**53)
    sort_by: SortBy | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: Annotated[list[str] | None, AfterValidator(_fields)] = None

    def ordered(self, found: Sequence[Cron]) -> list[Cron]:
        """In the order asked for; what has no such field comes last."""
        by = (self.sort_by or SortBy.CREATED_AT).value
        down = self.sort_order != "asc"

        def value(cron: Cron) -> Any:
            match by:
                case "next_run_date":
                    return cron.next_at
                case "assistant_id" | "thread_id" | "end_time":
                    return getattr(cron.definition, by)
                case _:
                    return getattr(cron, by)

        have = [cron for cron in found if value(cron) is not None]
        have.sort(key=lambda cron: (value(cron), cron.cron_id), reverse=down)
        return have + [cron for cron in found if value(cron) is None]

    def page(self, found: Sequence[Cron]) -> Sequence[Cron]:
        return found[self.offset : self.offset + self.limit]


def cron_object(
    cron: Cron, *, now: datetime, select: Sequence[str] | None = None
) -> Mapping[str, Any]:
    """A Cron, or the asked fields of it. ``now`` is only given where it is asked for."""
    wanted = cron.definition
    run = {name: one for name, one in wanted.run.items() if name != "on_completion"}
    told = {
        "cron_id": cron.cron_id,
        "assistant_id": wanted.assistant_id,
        "thread_id": wanted.thread_id,
        "on_run_completed": wanted.run.get("on_completion", "delete")
        if wanted.thread_id is None
        else None,
        "end_time": wanted.end_time.isoformat() if wanted.end_time else None,
        "schedule": wanted.schedule,
        "timezone": wanted.timezone,
        "created_at": cron.created_at.isoformat(),
        "updated_at": cron.updated_at.isoformat(),
        "payload": {
            **run,
            "assistant_id": wanted.assistant_id,
            "schedule": wanted.schedule,
            "metadata": dict(wanted.metadata),
        },
        "user_id": wanted.user or None,
        "next_run_date": cron.next_at.isoformat() if cron.next_at else None,
        "metadata": dict(wanted.metadata),
        "enabled": wanted.enabled,
        "error": cron.error,
        "now": now.isoformat(),
    }
    shown = FIELDS[:-1] if select is None else select
    return {name: told[name] for name in FIELDS if name in shown}
