"""A chat model that follows a script, for tests: it fails on what was not foreseen or not used.

A call takes the first unused step whose agent and expectations fit it, so that parallel branches
of a run find their own steps whatever their order.
"""

# ruff: noqa: N818  (the names say what happened)
from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata

from models import tokens
from models.attempts import AttemptGate, Ending, OpenGate, TokenUsage
from models.chat import Reply, ToolChoice
from models.hearing import Hear, Heard
from models.schema import ANSWER, Answer, Step, problem_with, problem_with_answer

_PIECE = 7  # characters


class UnexpectedCall(AssertionError):
    """The model was asked for what no unused step of the script foresees."""


class UnusedSteps(AssertionError):
    """The script has steps that nobody asked for."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One call as it came, for a step's ``when`` and for a test's own look."""

    agent: str
    messages: tuple[BaseMessage, ...]
    tools: tuple[str, ...]
    answer: Answer | None

    @property
    def last(self) -> str:
        """The text of the last message."""
        return str(self.messages[-1].text) if self.messages else ""

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(str(message.text) for message in self.messages)

    def __str__(self) -> str:
        return (
            f"agent={self.agent!r} tools={list(self.tools)} "
            f"answer={_name_of(self.answer)} last={self.last[-200:]!r}"
        )


@dataclass(frozen=True, kw_only=True)
class Scripted:
    """One step: when it fits, and what the model then says.

    Give exactly one of ``calls`` (tool, arguments), ``answer`` (text, or an object for an answer
    schema) and ``error``. ``contains`` has to occur in the last message, ``tools`` to be offered.
    """

    agent: str | None = None
    contains: str = ""
    tools: tuple[str, ...] = ()
    when: Callable[[Asked], bool] | None = None
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    answer: str | Mapping[str, Any] | None = None
    error: Exception | None = None
    usage: TokenUsage | None = None

    def __post_init__(self) -> None:
        if sum((bool(self.calls), self.answer is not None, self.error is not None)) != 1:
            raise ValueError("a scripted step has exactly one of calls, answer and error")

    def fits(self, asked: Asked) -> bool:
        return (
            (self.agent is None or self.agent == asked.agent)
            and self.contains in asked.last
            and set(self.tools) <= set(asked.tools)
            and (self.when is None or self.when(asked))
        )


@dataclass(kw_only=True)
class ScriptedModel:
    """A ``ChatModel`` of nothing but scripted steps; ``asked`` keeps every call for the test.

    As a context manager it raises ``UnusedSteps`` at the end, unless the test failed before.
    """

    steps: Sequence[Scripted]
    name: str = "scripted"
    price: float = 0.0
    plain: bool = False
    asked: list[Asked] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._left = list(self.steps)

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
        del temperature, thought
        offered = Step(tools=tuple(tools), answer=answer, must_call=tool_choice == "required")
        asked = Asked(
            agent=agent, messages=tuple(messages), tools=tuple(offered.parameters), answer=answer
        )
        gate = gate or OpenGate()
        expected = tokens.count_messages(messages, extra=tools)
        limit = max_tokens or 1024
        await gate.reserve(
            self.name,
            input_tokens=expected,
            max_output_tokens=limit,
            max_cost=self._cost(expected + limit),
        )
        usage = TokenUsage()
        error = ""
        try:
            self.asked.append(asked)
            step = self._take(asked)
            if step.error is not None:
                raise step.error
            message, typed = _say(step, offered)
            message.id = f"msg_{uuid4().hex}"
            if heard is not None and typed is None:
                _tell(message, heard)
            usage = step.usage or TokenUsage(
                input_tokens=expected, output_tokens=max(1, _length(message))
            )
        except BaseException as raised:
            error = type(raised).__name__
            raise
        finally:
            cost = self._cost(usage.input_tokens + usage.output_tokens)
            await gate.settle(
                self.name,
                usage=usage,
                cost=cost,
                seconds=0.0,
                ending=Ending(error=error, finish="" if error else "stop"),
            )
        message.usage_metadata = UsageMetadata(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            total_tokens=usage.input_tokens + usage.output_tokens,
        )
        return Reply(message=message, answer=typed, usage=usage, cost=cost, attempts=1, seconds=0.0)

    async def aclose(self) -> None:
        """Nothing is open."""

    def assert_exhausted(self) -> None:
        """Raises ``UnusedSteps`` if a step was never asked for."""
        if self._left:
            left = "\n  ".join(_describe(step) for step in self._left)
            raise UnusedSteps(f"{len(self._left)} scripted steps were not used:\n  {left}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.assert_exhausted()

    def _take(self, asked: Asked) -> Scripted:
        for position, step in enumerate(self._left):
            if step.fits(asked):
                return self._left.pop(position)
        left = "\n  ".join(_describe(step) for step in self._left) or "nothing more"
        raise UnexpectedCall(f"the model was asked:\n  {asked}\nexpected:\n  {left}")

    def _cost(self, count: int) -> float:
        """US dollars, at ``price`` per million tokens in and out alike."""
        return count * self.price / 1_000_000


def _say(step: Scripted, offered: Step) -> tuple[AIMessage, Mapping[str, Any] | None]:
    """The step's reply; a script that no real model could follow is the test's mistake."""
    calls = []
    for number, (tool, args) in enumerate(step.calls):
        if tool not in offered.parameters:
            raise UnexpectedCall(f"the script calls {tool!r}, offered: {list(offered.parameters)}")
        if problem := problem_with(args, offered.parameters[tool]):
            raise UnexpectedCall(f"the script calls {tool!r} wrongly: {problem}")
        identity = f"call_{tool}_{number}_{abs(hash(json.dumps(args, sort_keys=True)))}"
        calls.append(ToolCall(name=tool, args=dict(args), id=identity, type="tool_call"))
    if calls:
        return AIMessage("", tool_calls=calls), None
    if offered.must_call:
        raise UnexpectedCall("the script answers where a tool call is required")
    if offered.answer is None:
        if not isinstance(step.answer, str):
            raise UnexpectedCall("the script answers with an object where text is asked for")
        return AIMessage(step.answer), None
    if isinstance(step.answer, str) or step.answer is None:
        raise UnexpectedCall(f"the script answers with text where {ANSWER} has a schema")
    if problem := problem_with_answer(step.answer, offered):
        raise UnexpectedCall(f"the script's answer does not fit its schema: {problem}")
    return AIMessage(json.dumps(step.answer, ensure_ascii=False)), step.answer


def _tell(message: AIMessage, heard: Hear) -> None:
    """The message's text in pieces, as a provider streams it."""
    text = str(message.text)
    for start in range(0, len(text), _PIECE):
        piece = text[start : start + _PIECE]
        heard(Heard(text=piece, reasoning="", message_id=message.id or ""))


def _length(message: AIMessage) -> int:
    return tokens.count_messages([message]) - tokens.count_messages([AIMessage("")])


def _describe(step: Scripted) -> str:
    wants = [f"agent={step.agent!r}"] if step.agent else []
    wants += [f"contains={step.contains!r}"] if step.contains else []
    wants += [f"tools={list(step.tools)}"] if step.tools else []
    wants += ["when=..."] if step.when else []
    says = step.error or step.calls or step.answer
    return f"{' '.join(wants) or 'any call'} -> {str(says)[:120]}"


def _name_of(answer: Answer | None) -> str | None:
    if answer is None:
        return None
    return answer.__name__ if isinstance(answer, type) else str(answer.get("title", "schema"))
