"""LangGraph's wire for assistants: bodies that come in, Assistant, and how lists are cut. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from server.assistants.records import Assistant, Definition
from server.threads.matching import contains
from server.wire.json_fields import JsonObject, checked
from server.wire.messages import storable
from server.wire.run_request import RunConfig

FIELDS = (
    "assistant_id",
    "graph_id",
    "config",
    "context",
    "metadata",
    "version",
    "name",
    "description",
    "created_at",
    "updated_at",
)
MOST = 1_000
LONGEST_NAME = 512
LONGEST_TEXT = 10_000

Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(storable)]
Text = Annotated[str, Field(max_length=LONGEST_TEXT), AfterValidator(storable)]
# Every run of the assistant begins with it: what a run could not be asked with is refused here.
Config = Annotated[RunConfig, BeforeValidator(checked)]
Offset = Annotated[int, Field(ge=0, le=2**53)]
Limit = Annotated[int, Field(ge=1, le=MOST)]


class SortBy(StrEnum):
    """What assistants are listed by."""

    ASSISTANT_ID = "assistant_id"
    GRAPH_ID = "graph_id"
    NAME = "name"
    CREATED_AT = "created_at"
    UPDATED_AT = "updated_at"


def _fields(given: list[str] | None) -> list[str] | None:
    for name in given or ():
        if name not in FIELDS:
            raise ValueError(
                f"{storable(name)[:50]!r} is no field of an assistant; use {', '.join(FIELDS)}"
            )
    return given


def _as_given(config: RunConfig | None) -> dict[str, Any]:
    return config.model_dump(exclude_unset=True) if config is not None else {}


class AssistantCreate(BaseModel):
    """A new assistant."""

    model_config = ConfigDict(extra="ignore")

    graph_id: Name
    assistant_id: UUID | None = None
    config: Config | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    name: Name | None = None
    description: Text | None = None
    if_exists: Literal["raise", "do_nothing"] | None = None

    @property
    def definition(self) -> Definition:
        """What its first version says."""
        return Definition(
            graph_id=self.graph_id,
            name=self.name or self.graph_id,
            description=self.description,
            config=_as_given(self.config),
            context=self.context or {},
            metadata=self.metadata or {},
        )


class AssistantPatch(BaseModel):
    """What the next version says differently; what is left out stays."""

    model_config = ConfigDict(extra="ignore")

    graph_id: Name | None = None
    config: Config | None = None
    context: JsonObject | None = None
    metadata: JsonObject | None = None
    name: Name | None = None
    description: Text | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that change."""
        told = self.model_dump(exclude_none=True, exclude={"config"})
        return told if self.config is None else {**told, "config": _as_given(self.config)}


class AssistantCount(BaseModel):
    """Which assistants are meant: those that fit all this."""

    model_config = ConfigDict(extra="ignore")

    metadata: JsonObject | None = None
    graph_id: str | None = None
    name: str | None = None

    def fits(self, assistant: Assistant) -> bool:
        """Whether an assistant is meant; ``name`` may be a part of its name, in any case."""
        return (
            contains(assistant.metadata, self.metadata or {})
            and self.graph_id in (None, assistant.graph_id)
            and (self.name or "").casefold() in assistant.name.casefold()
        )


class AssistantSearch(AssistantCount):
    """A page of assistants, in an order."""

    limit: Limit = 10
    offset: Offset = 0
    sort_by: SortBy | None = None
    sort_order: Literal["asc", "desc"] | None = None
    select: Annotated[list[str] | None, AfterValidator(_fields)] = None

    def ordered(self, found: Sequence[Assistant]) -> list[Assistant]:
        """Those that fit, in the order asked for."""
        by = (self.sort_by or SortBy.CREATED_AT).value
        return sorted(
            filter(self.fits, found),
            key=lambda one: (getattr(one, by), one.assistant_id),
            reverse=self.sort_order != "asc",
        )


class VersionSearch(BaseModel):
    """A page of an assistant's versions, the newest first."""

    model_config = ConfigDict(extra="ignore")

    metadata: JsonObject | None = None
    limit: Limit = 10
    offset: Offset = 0


class VersionChoice(BaseModel):
    """The version that is to be in force."""

    model_config = ConfigDict(extra="ignore")

    version: int = Field(ge=1, le=2**53)


def assistant(found: Assistant, *, select: Sequence[str] | None = None) -> dict[str, Any]:
    """An Assistant, or the asked fields of it."""
    told = {
        "assistant_id": found.assistant_id,
        "graph_id": found.graph_id,
        "config": dict(found.config),
        "context": dict(found.context),
        "metadata": dict(found.metadata),
        "version": found.version,
        "name": found.name,
        "description": found.description,
        "created_at": found.created_at.isoformat(),
        "updated_at": found.updated_at.isoformat(),
    }
    return told if select is None else {name: told[name] for name in FIELDS if name in select}
