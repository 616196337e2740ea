"""Commands of the thread-centric protocol: what a client may ask, checked field by field. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from server.runs.asked import TEAM, Asked
from server.wire import protocol
from server.wire.json_fields import JsonObject
from server.wire.run_request import RunRequest

_PLACE = ("checkpoint_id", "checkpoint_ns", "checkpoint_map")
# What a run may be asked on this wire beside its input; how it is told is the protocol's own.
_OPTIONS = frozenset(
    {
        "assistant_id",
        "input",
        "config",
        "context",
        "metadata",
        "multitask_strategy",
        "interrupt_before",
        "interrupt_after",
        "webhook",
        "durability",
        "after_seconds",
    }
)

Name = Annotated[str, Field(min_length=1, max_length=500)]
Params = TypeVar("Params", bound=BaseModel)


class CommandError(Exception):
    """A command that is not carried out: ``code`` is the protocol's word for why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ThreadCommand(BaseModel):
    """One command; ``id`` comes back with its answer."""

    model_config = ConfigDict(extra="ignore")

    id: int = Field(ge=0, lt=2**63)
    method: Annotated[str, Field(min_length=1, max_length=100)]
    params: JsonObject = Field(default_factory=dict)

    def succeeded(self, result: Mapping[str, Any], *, through: int | None = None) -> dict[str, Any]:
        """The answer to one that was carried out, behind the event ``through``."""
        meta = {} if through is None else {"meta": {"applied_through_seq": through}}
        return {"type": "success", "id": self.id, "result": dict(result), **meta}

    def failed(self, error: CommandError) -> dict[str, Any]:
        return {"type": "error", "id": self.id, "error": error.code, "message": str(error)}


class ThreadRun(RunRequest):
    """A run whose events any reader of the thread may want."""

    def telling(self, *, graph: str) -> tuple[tuple[str, ...], bool]:
        """All modes that the protocol's channels are made of."""
        return (protocol.TEAM_MODES, False) if graph == TEAM else (protocol.MODES, True)


class _Response(BaseModel):
    model_config = ConfigDict(extra="ignore")

    interrupt_id: Name
    response: Any = None


class Respond(BaseModel):
    """Answers to interrupts, which go on in one run."""

    model_config = ConfigDict(extra="ignore")

    responses: list[_Response] = Field(min_length=1, max_length=1_000)
    update: Any = None
    goto: Any = None
    config: JsonObject | None = None
    metadata: JsonObject | None = None

    @model_validator(mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("responses") is None:
            one = {name: given[name] for name in ("interrupt_id", "response") if name in given}
            return {**given, "responses": [one]}
        return given

    @property
    def answers(self) -> dict[str, Any]:
        """What was answered, by interrupt."""
        return {one.interrupt_id: one.response for one in self.responses}

    def run(self, paused: Asked) -> ThreadRun:
        """The run that goes on with it, as the one that asked was configured.

        Raises CommandError.
        """
        command: dict[str, Any] = {"resume": self.answers}
        for name in ("update", "goto"):
            if (value := getattr(self, name)) is not None:
                command[name] = value
        return run_of(
            {
                "assistant_id": paused.assistant_id,
                "config": paused.kwargs.get("config") if self.config is None else self.config,
                "metadata": self.metadata,
            },
            command=command,
        )


class StateGet(BaseModel):
    """Which part of the state of which graph, the thread's own or a subgraph."""

    model_config = ConfigDict(extra="ignore")

    namespace: list[Name] = Field(default_factory=list, max_length=100)
    keys: list[Name] | None = Field(default=None, max_length=1_000)


class ListCheckpoints(BaseModel):
    """The newest checkpoints first, those before ``before``."""

    model_config = ConfigDict(extra="ignore")

    namespace: list[Name] = Field(default_factory=list, max_length=100)
    limit: int = Field(default=10, ge=1, le=1_000)
    before: Name | None = None


class Fork(BaseModel):
    """A run from an earlier checkpoint."""

    model_config = ConfigDict(extra="ignore")

    checkpoint_id: Name
    input: Any = None
    config: JsonObject | None = None


class GetTree(BaseModel):
    """Which run's tree; the last one's where it is not said."""

    model_config = ConfigDict(extra="ignore")

    run_id: Name | None = None


def read(kind: type[Params], params: Mapping[str, Any]) -> Params:
    """A command's parameters. Raises CommandError, which names the field."""
    try:
        return kind.model_validate(dict(params))
    except ValidationError as error:
        raise _invalid(error) from None


def run_of(params: Mapping[str, Any], *, command: Mapping[str, Any] | None = None) -> ThreadRun:
    """A run as ``run.start`` asks it; it forks where the config names a checkpoint.

    Raises CommandError.
    """
    asked = {name: value for name, value in params.items() if name in _OPTIONS}
    if asked.get("multitask_strategy") is None and "multitaskStrategy" in params:
        asked["multitask_strategy"] = params["multitaskStrategy"]
    config = asked.get("config")
    configurable = config.get("configurable") if isinstance(config, Mapping) else None
    if isinstance(configurable, Mapping):
        place = {name: configurable[name] for name in _PLACE if configurable.get(name)}
        rest = {name: value for name, value in configurable.items() if name not in _PLACE}
        asked["config"] = {**(config or {}), "configurable": rest}
        if place.get("checkpoint_id"):
            asked["checkpoint"] = place
    if command is not None:
        asked["command"] = dict(command)
    return read(ThreadRun, asked)


def resumes(run: ThreadRun, *, paused: str) -> bool:
    """Whether a run on a thread that waits for a person answers what was asked there.

    ``paused`` is the graph that asked. A new message to the team is a question of its own, which
    takes the thread over.
    """
    if run.input is None or run.fork is not None:
        return False
    asks = isinstance(run.input, Mapping) and "messages" in run.input
    return paused != TEAM or not asks


def resumed(run: ThreadRun, *, paused: Asked) -> ThreadRun:
    """The same run with its input as the answer. Raises CommandError."""
    told = run.model_dump(mode="json", exclude_unset=True, include=set(_OPTIONS))
    config = told.get("config") or paused.kwargs.get("config")
    return run_of({**told, "config": config, "input": None}, command={"resume": run.input})


def unreadable(error: Exception) -> dict[str, Any]:
    """The answer to a message that is no command."""
    told = _invalid(error, at=()) if isinstance(error, ValidationError) else None
    why = str(told) if told is not None else "the message is no JSON"
    return {"type": "error", "id": None, "error": "invalid_argument", "message": why}


def _invalid(error: ValidationError, *, at: tuple[str, ...] = ("params",)) -> CommandError:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in (*at, *first["loc"])) or "the message"
    why = first["msg"].removeprefix("Value error, ")
    return CommandError("invalid_argument", f"{place}: {why}")


def joined(namespace: Sequence[str]) -> str:
    """A namespace as checkpoints are kept under it."""
    return "|".join(namespace)
