"""A chat model as agents see it: one call, one step; it calls tools whatever its kind.

``native`` models are given tools in the provider's own way, ``constrained`` ones are held to a
JSON schema. Each provider attempt, first or repeated, passes the caller's gate.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, Protocol
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.ai import UsageMetadata

from models import failures, tokens
from models.attempts import AttemptGate, OpenGate, TokenUsage
from models.constrained import Constrained
from models.dialect import Dialect, Malformed, Read, repair
from models.errors import (
    ContextTooLong,
    MalformedStep,
    ModelRefused,
    ToolsUnsupported,
)
from models.hearing import Hear, Heard, Listener
from models.native import Native
from models.pieces import Client, Piece, Written
from models.prices import Price, price_of
from models.registry import ClientKind, ModelSpec, ToolMode
from models.retry import Enduring, Retry, Retrying
from models.schema import Answer, Step
from models.usage import ending_of, usage_of

ToolChoice = Literal["auto", "required"]
_SMALLEST_REPLY = 128  # tokens kept for the reply where the prompt nearly fills the context
_LIMIT_AFTER_CUT = 256  # tokens, at least, for a reply that was cut before
_CHARACTERS_PER_TOKEN_AT_MOST = 24


@dataclass(frozen=True, kw_only=True)
class Reply:
    """One step of a model.

    ``message`` has tool calls or content; ``answer`` the validated object where an answer schema
    was given. ``usage``, ``cost`` (US dollars) and ``seconds`` are of all ``attempts`` together.
    """

    message: AIMessage
    answer: Mapping[str, Any] | None = None
    usage: TokenUsage
    cost: float
    attempts: int
    seconds: float


class ChatModel(Protocol):
    """What agents use; ``models.scripted`` has the twin for tests."""

    @property
    def name(self) -> str: ...

    @property
    def plain(self) -> bool:
        """Whether it follows no tool template, so that free words serve it better than a schema."""
        ...

    async def call(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        answer: Answer | None = None,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        temperature: float | None = None,
        thought: bool = False,
        gate: AttemptGate | None = None,
        agent: str = "",
        heard: Hear | None = None,
    ) -> Reply:
        """Think one step: a tool call or an answer.

        ``tools`` in OpenAI's function format; ``answer`` a schema for the answer, else text;
        ``required`` leaves only tools. ``heard`` is told the text as it is written: all of a
        plain answer, nothing of a typed one. Raises ``ModelError``, and whatever the gate raises.
        """
        ...

    async def aclose(self) -> None: ...


def build(spec: ModelSpec, *, retry: Retry | None = None) -> EndpointModel:
    """The chat model of a spec whose ``tools`` are decided; raises ``UnknownPrice``."""
    return EndpointModel(
        spec,
        dialect=dialect_of(spec),
        price=price_of(spec),
        client=connect(spec),
        retry=retry or Enduring(),
    )


def connect(spec: ModelSpec) -> Client:
    """What speaks to the endpoint of a spec; close it with ``aclose``."""
    if spec.client is ClientKind.OPENAI:
        from models import endpoint  # takes a second to import

        return endpoint.connect(spec)
    from models import lean

    return lean.connect(spec)


def dialect_of(spec: ModelSpec) -> Dialect:
    """How the spec says that its model calls tools; raises ``ToolsUnsupported`` on ``auto``."""
    if spec.tools is ToolMode.NATIVE:
        return Native()
    if spec.tools is ToolMode.CONSTRAINED:
        return Constrained()
    raise ToolsUnsupported(
        f"it is not known yet whether model '{spec.name}' calls tools; probe it first or set "
        "COUNTERPOINT_MODEL_TOOLS to native or constrained",
        model=spec.name,
    )


@dataclass(kw_only=True)
class _Spending:
    """What the attempts of one call have used so far."""

    usage: TokenUsage = field(default_factory=TokenUsage)
    cost: float = 0.0
    attempts: int = 0


@dataclass(frozen=True, kw_only=True)
class _Outcome:
    """An attempt that succeeded."""

    written: Written
    usage: TokenUsage
    message_id: str


class EndpointModel:
    """A model behind an endpoint; ``client`` makes one attempt each time it is streamed from."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        dialect: Dialect,
        price: Price,
        client: Client,
        retry: Retrying,
    ) -> None:
        self.spec = spec
        self._dialect = dialect
        self._client = client
        self._price = price
        self._retry = retry
        self._reasons = False

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def plain(self) -> bool:
        return isinstance(self._dialect, Constrained)

    def speaking(self, dialect: Dialect) -> EndpointModel:
        """This model with another dialect, on the same connections."""
        return EndpointModel(
            self.spec,
            dialect=dialect,
            price=self._price,
            client=self._client,
            retry=self._retry,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def call(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        answer: Answer | None = None,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        temperature: float | None = None,
        thought: bool = False,
        gate: AttemptGate | None = None,
        agent: str = "",
        heard: Hear | None = None,
    ) -> Reply:
        del agent
        must_call = tool_choice == "required"
        step = Step(tools=tuple(tools), answer=answer, must_call=must_call, thought=thought)
        if self.spec.temperature is None:
            sampling: dict[str, Any] = {}
        else:
            chosen = self.spec.temperature if temperature is None else temperature
            sampling = {"temperature": chosen}
        history = list(messages)
        most = self.spec.max_output
        # What it reasons counts as reply, and nobody who bounds a reply thinks of it.
        limit = most if self._reasons else min(max_tokens or most, most)
        spending = _Spending()
        started = time.monotonic()
        repaired = False
        while True:
            request = self._dialect.request(history, step)
            attempt = partial(
                self._attempt,
                request.messages,
                step=step,
                options={**sampling, **request.options},
                limit=limit,
                gate=gate or OpenGate(),
                spending=spending,
                heard=heard,
            )
            outcome = await self._retry.run(attempt)
            self._reasons = self._reasons or bool(outcome.written.reasoning)
            found = self._dialect.read(outcome.written, step)
            # A title or the like is bounded on purpose, and as good without its end.
            last = repaired or limit < _LIMIT_AFTER_CUT
            if last and isinstance(found, Malformed) and found.stands is not None:
                found = found.stands
            if isinstance(found, Read):
                return Reply(
                    message=_complete(found.message, outcome, model=self.name),
                    answer=found.answer,
                    usage=spending.usage,
                    cost=spending.cost,
                    attempts=spending.attempts,
                    seconds=time.monotonic() - started,
                )
            if repaired:
                remedy = "raise its output limit" if found.cut else "choose a stronger model"
                raise MalformedStep(
                    f"model '{self.name}' gave no valid step, not even when told what was wrong: "
                    f"{found.problem}; {remedy}",
                    model=self.name,
                    text=found.text[:500],
                )
            repaired = True
            history = [*history, repair(found)]
            if found.cut:
                limit = most if self._reasons else min(max(limit * 2, _LIMIT_AFTER_CUT), most)

    async def _attempt(
        self,
        prompt: list[BaseMessage],
        *,
        step: Step,
        options: Mapping[str, Any],
        limit: int,
        gate: AttemptGate,
        spending: _Spending,
        heard: Hear | None,
    ) -> _Outcome:
        """One provider attempt, reserved before and settled after, however it ends."""
        expected = tokens.count_messages(prompt, extra=options.get("tools", ()))
        room = self._room(expected, limit)
        await gate.reserve(
            self.name,
            input_tokens=expected,
            max_output_tokens=room,
            max_cost=self._price.cost(input_tokens=expected, output_tokens=room),
        )
        # Not the provider's id, which need not be its own: messages are told apart by it.
        message_id = f"msg_{uuid4().hex}"
        tell = None
        if heard is not None:
            tell = partial(_tell, heard, self._dialect.listener(step), message_id)
        written = Written()
        started = time.monotonic()
        failure: BaseException | None = None
        try:
            await self._collect(written, prompt, tell=tell, max_tokens=room, **options)
        except BaseException as error:
            failure = error
            raise
        finally:
            usage = usage_of(written, expected=expected, failure=failure)
            cost = self._price.cost(
                input_tokens=usage.input_tokens, output_tokens=usage.output_tokens
            )
            spending.usage += usage
            spending.cost += cost
            spending.attempts += 1
            await gate.settle(
                self.name,
                usage=usage,
                cost=cost,
                seconds=time.monotonic() - started,
                ending=ending_of(written, failure, started=started),
            )
        return _Outcome(written=written, usage=usage, message_id=message_id)

    async def _collect(
        self,
        written: Written,
        prompt: list[BaseMessage],
        *,
        tell: Callable[[Piece], None] | None,
        **options: Any,
    ) -> None:
        longest = options["max_tokens"] * _CHARACTERS_PER_TOKEN_AT_MOST
        try:
            async with (
                asyncio.timeout(self.spec.timeout),
                aclosing(self._client.pieces(prompt, **options)) as pieces,
            ):
                async for piece in pieces:
                    written.add(piece)
                    if written.first_at is None and written.length:
                        written.first_at = time.monotonic()
                    if written.length > longest:
                        raise ModelRefused(
                            f"model '{self.name}' wrote far more than the "
                            f"{options['max_tokens']} tokens it was allowed; its server ignores "
                            "max_tokens, use another",
                            model=self.name,
                        )
                    if tell is not None:
                        tell(piece)
        except TimeoutError:
            raise failures.timed_out(self.spec) from None

    def _room(self, expected: int, limit: int) -> int:
        """Tokens that the reply may have beside a prompt of the expected size."""
        # The estimate may be too high by half; whether a prompt really fits, the server knows.
        if expected > self.spec.context * 1.5:
            raise ContextTooLong(
                f"a prompt of about {expected} tokens does not fit the context of model "
                f"'{self.name}' ({self.spec.context} tokens); shorten it or choose a model with "
                "a larger one",
                model=self.name,
            )
        return min(limit, max(_SMALLEST_REPLY, self.spec.context - expected))


def _tell(hear: Hear, listener: Listener, message_id: str, piece: Piece) -> None:
    text, reasoning = listener(piece)
    if text or reasoning:
        hear(Heard(text=text, reasoning=reasoning, message_id=message_id))


def _complete(message: AIMessage, outcome: _Outcome, *, model: str) -> AIMessage:
    """The message with what the provider said about it; nothing of its raw form."""
    written, usage = outcome.written, outcome.usage
    beside = {"reasoning_content": written.reasoning} if written.reasoning else {}
    return message.model_copy(
        update={
            "id": outcome.message_id,
            "additional_kwargs": {**message.additional_kwargs, **beside},
            "usage_metadata": UsageMetadata(
                input_tokens=usage.input_tokens,
                output_tokens=usage.output_tokens,
                total_tokens=usage.input_tokens + usage.output_tokens,
            ),
            "response_metadata": {
                "model_name": model,
                "finish_reason": written.finish,
                "usage_estimated": usage.estimated,
            },
        }
    )
