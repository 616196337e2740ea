"""LangGraph's wire for runs: a run as a client asks for it, checked field by field. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from server.errors import BadRequest, Invalid
from server.runs.asked import TEAM, Asked, MultitaskStrategy
from server.wire.chat import COLLECTION
from server.wire.graph_messages import unfolded
from server.wire.json_fields import checked
from server.wire.messages import plain

MODES = frozenset(
    "values updates messages messages-tuple custom events tasks checkpoints debug tools"
    " lifecycle".split()
)
DEFAULT_MODES = ("values",)
# What a run asked without a wish tells, where nobody has to be told less.
TEAM_MODES = ("values", "custom")
LONGEST_DELAY = 366 * 24 * 3600

Name = Annotated[str, Field(max_length=200)]
Nodes = Literal["*"] | list[Name]
Object = dict[str, Any]


class RunConfig(BaseModel):
    """The part of a config that a server honours; the rest is shown again and not used."""

    model_config = ConfigDict(extra="allow")

    tags: list[str] | None = None
    recursion_limit: int | None = Field(default=None, ge=1, le=100_000)
    configurable: Object | None = None

    @field_validator("configurable")
    @classmethod
    def _collection(cls, value: Object | None) -> Object | None:
        return _checked_collection(value)


class Command(BaseModel):
    """What to do to a paused or finished graph; wins over ``input``."""

    model_config = ConfigDict(extra="ignore")

    resume: Any = None
    goto: Any = None
    update: Any = None

    @field_validator("goto")
    @classmethod
    def _places(cls, value: Any) -> Any:
        for place in value if isinstance(value, list) else [value]:
            named = place is None or isinstance(place, str)
            if not named and not (isinstance(place, dict) and isinstance(place.get("node"), str)):
                raise ValueError('must be a node\'s name, {"node", "input"}, or a list of them')
        return value

    @field_validator("update")
    @classmethod
    def _writes(cls, value: Any) -> Any:
        if value is None or isinstance(value, dict):
            return value
        pairs = isinstance(value, list) and all(
            isinstance(pair, list) and len(pair) == 2 and isinstance(pair[0], str) for pair in value
        )
        if not pairs:
            raise ValueError("must be an object, or a list of [field, value]")
        return value

    def stored(self) -> Object | None:
        """What was given, without what was not; None where it says nothing at all."""
        told = {name: getattr(self, name) for name in sorted(self.model_fields_set)}
        says = "resume" in told or any(told.values())
        # LangGraph fails on a command that says nothing, and what waited would be given up for it.
        return told if says else None


class Checkpoint(BaseModel):
    model_config = ConfigDict(extra="ignore")

    checkpoint_id: Name | None = None
    checkpoint_ns: Annotated[str, Field(max_length=2000)] | None = None
    checkpoint_map: Object | None = None


class RunRequest(BaseModel):
    """A run as asked; unknown fields are taken and not used."""

    model_config = ConfigDict(extra="ignore")

    assistant_id: str = Field(
        min_length=1, max_length=200, description="an assistant's id, a graph, or an agent's name"
    )
    input: Any = None
    command: Command | None = None
    config: RunConfig | None = None
    context: Object | None = None
    metadata: Object | None = None
    stream_mode: list[str] | str | None = None
    stream_subgraphs: bool = False
    stream_resumable: bool = False
    interrupt_before: Nodes | None = None
    interrupt_after: Nodes | None = None
    webhook: str | None = Field(default=None, max_length=2000)
    checkpoint: Checkpoint | None = None
    checkpoint_id: Name | None = None
    checkpoint_during: bool | None = None
    multitask_strategy: MultitaskStrategy = MultitaskStrategy.ENQUEUE
    if_not_exists: Literal["create", "reject"] = "create"
    on_disconnect: Literal["cancel", "continue"] = "continue"
    on_completion: Literal["delete", "keep"] = "delete"
    after_seconds: float = Field(default=0, ge=0, le=LONGEST_DELAY, allow_inf_nan=False)
    durability: Literal["sync", "async", "exit"] | None = None
    feedback_keys: list[Name] | None = None

    @model_validator(mode="before")
    @classmethod
    def _json(cls, value: Any) -> Any:
        return _without_nulls(checked(value)) if isinstance(value, dict) else value

    @field_validator("stream_mode")
    @classmethod
    def _known(cls, value: list[str] | str | None) -> list[str] | str | None:
        check_modes([value] if isinstance(value, str) else value or ())
        return value

    @field_validator("webhook")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://", "/")):
            raise ValueError("must be an http or https URL, or a path of this server")
        return value or None

    @property
    def modes(self) -> tuple[str, ...] | None:
        """The modes asked for, each once; None for no wish."""
        if self.stream_mode is None:
            return None
        given = [self.stream_mode] if isinstance(self.stream_mode, str) else self.stream_mode
        return tuple(dict.fromkeys(given)) or None

    def telling(self, *, graph: str) -> tuple[tuple[str, ...], bool]:
        """The modes in which the run tells what it does, and whether its subgraphs speak."""
        default = TEAM_MODES if graph == TEAM else DEFAULT_MODES
        return self.modes or default, self.stream_subgraphs

    @property
    def fork(self) -> Object | None:
        """From which checkpoint to go on."""
        given = self.checkpoint.model_dump(exclude_none=True) if self.checkpoint else {}
        if self.checkpoint_id:
            given["checkpoint_id"] = self.checkpoint_id
        return given if given.get("checkpoint_id") else None

    def kwargs(self) -> Object:
        """The request as it is shown again."""
        hidden = {"assistant_id", "metadata", "multitask_strategy"}
        return self.model_dump(mode="json", exclude_unset=True, exclude=hidden)

    def checked(self, *, thread_id: str | None) -> Self:
        """The request, if its fields go together. Raises BadRequest or Invalid."""
        if self.context and self.config and self.config.configurable:
            raise BadRequest(
                "context: cannot be given together with config.configurable; "
                "use context, or configurable for graphs that have no context",
                param="context",
            )
        if thread_id is None:
            if self.command and "resume" in self.command.model_fields_set:
                raise BadRequest(
                    "command.resume: needs a thread; send it to /threads/{thread_id}/runs",
                    param="command.resume",
                )
            if self.fork:
                raise BadRequest(
                    "checkpoint: needs a thread; send it to /threads/{thread_id}/runs",
                    param="checkpoint",
                )
        return self


def asked(
    request: RunRequest,
    *,
    graph: str,
    assistant_id: str,
    config: Mapping[str, Any],
    context: Mapping[str, Any] | None,
    collection: str,
    stateless: bool,
    user: str,
    roles: Sequence[str] = (),
) -> Asked:
    """The run that a request comes to over its assistant's own config and context.

    ``collection`` is meant where neither names one. Raises Invalid where the team cannot
    read the input.
    """
    own = request.config.model_dump(exclude_none=True) if request.config else {}
    configurable = {
        "collection": collection,
        **(config.get("configurable") or {}),
        **(own.get("configurable") or {}),
    }
    tags = [*(config.get("tags") or ()), *(own.get("tags") or ())]
    merged = {**config, **own, "configurable": configurable, **({"tags": tags} if tags else {})}
    both = {**(context or {}), **(request.context or {})}
    modes, subgraphs = request.telling(graph=graph)
    return Asked(
        graph=graph,
        assistant_id=assistant_id,
        input=_for_team(request) if graph == TEAM else request.input,
        command=_command(request),
        config=merged,
        context=both or None,
        metadata=request.metadata or {},
        stream_modes=modes,
        stream_subgraphs=subgraphs,
        interrupt_before=request.interrupt_before or (),
        interrupt_after=request.interrupt_after or (),
        checkpoint=request.fork,
        multitask=request.multitask_strategy,
        temporary=stateless and request.on_completion == "delete",
        keep_on_disconnect=request.on_disconnect == "continue",
        webhook=request.webhook,
        user=user,
        roles=roles,
        kwargs=request.kwargs(),
    )


def _command(request: RunRequest) -> Object | None:
    return request.command.stored() if request.command is not None else None


def _for_team(request: RunRequest) -> Any:
    """The input with its messages made plain; the team needs some, unless it goes on."""
    given = request.input
    goes_on = _command(request) is not None or request.fork is not None
    if goes_on and not given:
        return None
    if given is not None and not isinstance(given, Mapping):
        raise Invalid('input: must be an object such as {"messages": [...]}', param="input")
    messages = (given or {}).get("messages")
    if messages is None:
        raise Invalid("input.messages is missing", param="input.messages")
    listed = [_whole(one) for one in (messages if isinstance(messages, list) else [messages])]
    return {**(given or {}), "messages": plain(listed, where="input.messages")}


def _whole(message: Any) -> Any:
    """A message that is written briefly, a text or a pair of role and text, or serialised."""
    match message:
        case str():
            return {"role": "user", "content": message}
        case [str() as role, (str() | list()) as content]:
            return {"role": role, "content": content}
        case {"type": str() as kind} if kind.endswith("MessageChunk"):
            return {**message, "type": kind.removesuffix("MessageChunk").lower()}
        case Mapping():
            return unfolded(message)
    return message


def check_modes(asked: Sequence[str]) -> None:
    """Raises ValueError for a stream mode that there is none of."""
    if unknown := [mode for mode in asked if mode not in MODES]:
        raise ValueError(f"no mode {unknown[0][:50]!r}; use {', '.join(sorted(MODES))}")


def _without_nulls(body: Object) -> Object:
    """A field that is null was not given, but for ``input``, where null has a meaning."""
    return {name: value for name, value in body.items() if value is not None or name == "input"}


def _checked_collection(configurable: Object | None) -> Object | None:
    given = (configurable or {}).get("collection")
    if given is not None and not (isinstance(given, str) and re.fullmatch(COLLECTION, given)):
        raise ValueError("collection: must be 1 to 64 letters, digits, dots, dashes or underscores")
    return configurable
