"""A model that does not get to see secrets or personal data: placeholders stand in their place.

What it writes about a placeholder is put back into the reply, so that a tool is called with the
value and an answer names it; only the model's own prompt goes without.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, BaseMessage, SystemMessage

from guardrails.redaction import LONGEST_PLACEHOLDER, Finder, Kind, Redactor, find
from models.attempts import AttemptGate
from models.chat import ChatModel, Reply, ToolChoice
from models.hearing import Hear, Heard
from models.priorities import Workload, serving
from models.schema import Answer

M = TypeVar("M", bound=BaseMessage)

RULE = (
    "Words in brackets such as [email 1] or [key 2] stand for values that are kept from you. Where "
    "you need such a value, write its placeholder exactly as it is."
)


class RedactedModel:
    """``model`` with what is of ``kinds`` taken out of its prompts and put back into its replies.

    Closing it closes ``model``.
    """

    def __init__(self, model: ChatModel, *, kinds: frozenset[Kind], finder: Finder = find) -> None:
        self._model = model
        self._kinds = kinds
        self._finder = finder

    @property
    def name(self) -> str:
        return self._model.name

    @property
    def plain(self) -> bool:
        return self._model.plain

    def serving(self, workload: Workload) -> RedactedModel:
        return RedactedModel(serving(self._model, workload), kinds=self._kinds, finder=self._finder)

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
        """As ``ChatModel.call``; the model behind it is asked with placeholders."""
        redactor = Redactor(kinds=self._kinds, reversible=self._kinds, finder=self._finder)
        if self._finder is find:
            shown = _shown(messages, redactor)
        else:
            # What looks for more than patterns takes its time.
            shown = await asyncio.to_thread(_shown, messages, redactor)
        hidden = bool(redactor.mapping)
        listener = _Restoring(heard, redactor) if hidden and heard is not None else None
        reply = await self._model.call(
            _with_rule(shown) if hidden else messages,
            tools=tools,
            answer=answer,
            tool_choice=tool_choice,
            max_tokens=max_tokens,
            temperature=temperature,
            thought=thought,
            gate=gate,
            agent=agent,
            heard=listener or heard,
        )
        if not hidden:
            return reply
        if listener is not None:
            listener.end()
        return _restored(reply, redactor)

    async def aclose(self) -> None:
        await self._model.aclose()


def _shown(messages: Sequence[BaseMessage], redactor: Redactor) -> list[BaseMessage]:
    return [_changed(message, redactor.redact_all) for message in messages]


def _changed(message: M, change: Callable[[Any], Any]) -> M:
    """The message with its texts and the arguments of its calls changed."""
    changes: dict[str, Any] = {"content": change(message.content)}
    if isinstance(message, AIMessage) and message.tool_calls:
        changes["tool_calls"] = [
            {**call, "args": change(call["args"])} for call in message.tool_calls
        ]
    return message.model_copy(update=changes)


def _with_rule(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """The rule behind the system text, which stays one message: some templates take no second."""
    for place, message in enumerate(messages):
        if isinstance(message, SystemMessage) and isinstance(message.content, str):
            ruled = message.model_copy(update={"content": f"{message.content}\n\n{RULE}"})
            return [*messages[:place], ruled, *messages[place + 1 :]]
    return [SystemMessage(RULE), *messages]


def _restored(reply: Reply, redactor: Redactor) -> Reply:
    return replace(
        reply,
        message=_changed(reply.message, redactor.restore_all),
        answer=None if reply.answer is None else redactor.restore_all(reply.answer),
    )


class _Restoring:
    """Tells a listener the pieces with the values put back; what may be the beginning of a
    placeholder waits for its end."""

    def __init__(self, heard: Hear, redactor: Redactor) -> None:
        self._heard = heard
        self._redactor = redactor
        self._waiting = {"text": "", "reasoning": ""}
        self._message_id = ""

    def __call__(self, piece: Heard) -> None:
        if piece.message_id != self._message_id:
            # All that was heard of the attempt before is void.
            self._message_id = piece.message_id
            self._waiting = {"text": "", "reasoning": ""}
        self._tell(
            text=self._ready("text", piece.text),
            reasoning=self._ready("reasoning", piece.reasoning),
        )

    def end(self) -> None:
        """Nothing more comes: what waits was no placeholder."""
        waiting, self._waiting = self._waiting, {"text": "", "reasoning": ""}
        self._tell(**waiting)

    def _ready(self, name: str, text: str) -> str:
        text = self._waiting[name] + text
        opened = text.rfind("[")
        if opened < 0 or "]" in text[opened:] or len(text) - opened > LONGEST_PLACEHOLDER:
            opened = len(text)
        self._waiting[name] = text[opened:]
        return self._redactor.restore(text[:opened])

    def _tell(self, *, text: str, reasoning: str) -> None:
        if text or reasoning:
            self._heard(Heard(text=text, reasoning=reasoning, message_id=self._message_id))
