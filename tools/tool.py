"""What a tool is: a name, a description, arguments with a schema, an effect, and one coroutine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from models.schema import schema_of


class Effect(StrEnum):
    """What running the tool does to the world outside the run."""

    READS = "reads"
    WRITES_REPEATABLE = "writes_repeatable"
    WRITES_ONCE = "writes_once"


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """Where a tool call happens: whose data it may see and which run it belongs to.

    ``user`` is who asked for the run, with what ``roles``. ``idempotency_key`` is the same whenever
    this call is made again: a tool that writes hands it on, so that the other side does it once.
    """

    tenant: str
    collection: str
    run_id: str
    call_id: str
    user: str = ""
    roles: frozenset[str] = frozenset()
    thread_id: str = ""
    idempotency_key: str = ""


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What a tool gives back: text for the model, and data for the run.

    ``evidence`` holds retrieved passages as plain JSON objects, in the order in which
    ``content`` numbers them.
    """

    content: str
    ok: bool = True
    evidence: tuple[Mapping[str, Any], ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)


class ToolError(Exception):
    """A failure told to the model, so that it can mend the call or give up.

    ``own``: every word of it is the tool's, and what it says is to be done. Else it may hold what
    others wrote (a title, an address, an answer from somewhere), and is shown as data.
    """

    def __init__(self, message: str, *, own: bool = False) -> None:
        super().__init__(message)
        self.own = own


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One thing that an agent can do.

    ``parameters`` is a pydantic model; its JSON Schema is what the chat model sees, so every
    string field carries a ``max_length`` (an unbounded string can run to the token limit under
    constrained decoding).
    """

    name: str
    description: str
    parameters: type[BaseModel]
    effect: Effect
    call: Callable[[Any, ToolContext], Awaitable[ToolResult]]

    def schema(self) -> dict[str, Any]:
        """The tool in OpenAI's function format."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": schema_of(self.parameters),
            },
        }
