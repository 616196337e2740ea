"""What the tests of chat models share: a tool, an answer, a model, a gate that notes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, Field, SecretStr

from models.attempts import ENDED, Ending, TokenUsage
from models.chat import EndpointModel, build
from models.registry import ClientKind, ModelSpec, ToolMode
from models.retry import Retry
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Says

KEY = "sk-secret-of-the-test"


class Query(BaseModel):
    query: str = Field(description="What to look for.", max_length=200)
    limit: int = Field(4, ge=1, le=10)


class Cited(BaseModel):
    text: str = Field(max_length=600)
    sources: list[int] = Field(max_length=4)


SEARCH: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "search_documents",
        "description": "Finds passages.",
        "parameters": Query.model_json_schema(),
    },
}
MODES = (ToolMode.NATIVE, ToolMode.CONSTRAINED)


@dataclass(kw_only=True)
class NotingGate:
    """Lets attempts through and notes them."""

    reserved: list[tuple[int, int, float]] = field(default_factory=list)
    settled: list[tuple[TokenUsage, float, bool]] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    async def reserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int, max_cost: float
    ) -> None:
        assert len(self.reserved) == len(self.settled), "the attempt before was not settled"
        self.reserved.append((input_tokens, max_output_tokens, max_cost))

    async def settle(
        self,
        model: str,
        *,
        usage: TokenUsage,
        cost: float,
        seconds: float,
        ending: Ending = ENDED,
    ) -> None:
        self.settled.append((usage, cost, ending.ok))
        self.endings.append(ending)
        assert len(self.reserved) == len(self.settled), "settled without a reservation"


@dataclass(kw_only=True)
class Waits:
    """Waits without waiting, and remembers for how long."""

    seconds: list[float] = field(default_factory=list)

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


class AskedBy(OpenAIEndpoint):
    """An endpoint that says which client its test asks it with."""

    def __init__(self, *, client: ClientKind) -> None:
        super().__init__()
        self.client = client


def spec_of(endpoint: OpenAIEndpoint, mode: ToolMode, **changes: Any) -> ModelSpec:
    fields: dict[str, Any] = {
        "name": "double",
        "model": "some-model",
        "url": endpoint.url,
        "key": SecretStr(KEY),
        "tools": mode,
        "timeout": 5.0,
        "input_price": 1.0,
        "output_price": 4.0,
    }
    if isinstance(endpoint, AskedBy):
        fields["client"] = endpoint.client
    return ModelSpec(**(fields | changes))


@asynccontextmanager
async def model_of(
    endpoint: OpenAIEndpoint, mode: ToolMode, *, waits: Waits | None = None, **changes: Any
) -> AsyncIterator[EndpointModel]:
    retry = Retry(sleep=waits or Waits(), jitter=lambda: 1.0)
    model = build(spec_of(endpoint, mode, **changes), retry=retry)
    try:
        yield model
    finally:
        await model.aclose()


def calls(mode: ToolMode, args: Mapping[str, Any] | str, **says: Any) -> Says:
    """A call of the search tool, as a model of that mode writes it."""
    written = args if isinstance(args, str) else json.dumps(args)
    if mode is ToolMode.NATIVE:
        call = Call(name="search_documents", args=written)
        return Says(calls=(call,), **({"finish": "tool_calls"} | says))
    return Says(text=f'{{"action": "search_documents", "args": {written}}}', **says)


def answers(mode: ToolMode, text: str, **says: Any) -> Says:
    """A plain answer where tools are offered, as a model of that mode writes it."""
    if mode is ToolMode.NATIVE:
        return Says(text=text, **says)
    return Says(text=json.dumps({"action": "answer", "text": text}), **says)


def cites(mode: ToolMode, fields: Mapping[str, Any], **says: Any) -> Says:
    """A typed answer where tools are offered, as a model of that mode writes it."""
    if mode is ToolMode.NATIVE:
        return Says(calls=(Call(name="answer", args=json.dumps(fields)),), **says)
    return Says(text=json.dumps({"action": "answer", **fields}), **says)
