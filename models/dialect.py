"""How a step is put to a model and its reply read back: what differs from model to model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage

from models.hearing import Listener
from models.pieces import Written
from models.schema import Step


@dataclass(frozen=True, kw_only=True)
class Request:
    """What goes to the provider: messages, and options in OpenAI's names."""

    messages: list[BaseMessage]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Read:
    """A reply understood: a message with tool calls or content, and the typed answer if any."""

    message: AIMessage
    answer: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """A reply that is no valid step: ``problem`` is told to the model, ``cut`` at its limit.

    ``stands`` is what it is taken for where the next one is no better, or it is not worth one.
    """

    problem: str
    text: str
    cut: bool = False
    stands: Read | None = None


class Dialect(Protocol):
    """Pure: no IO, no state."""

    def request(self, messages: Sequence[BaseMessage], step: Step) -> Request: ...

    def listener(self, step: Step) -> Listener:
        """Hears one attempt's text for a reader; only what is known to be meant for one."""
        ...

    def read(self, raw: Written, step: Step) -> Read | Malformed: ...


def repair(malformed: Malformed) -> HumanMessage:
    """What to tell the model so that it mends its last reply."""
    said = malformed.text.strip()[:300]
    shown = f"Your last reply began:\n{said}\n" if said else ""
    return HumanMessage(
        f"{shown}That was not valid: {malformed.problem}. Reply again, correctly this time."
    )
