"""What a model writes, piece by piece, and what it has written so far. Pure: no IO."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from langchain_core.messages import BaseMessage


class CallPiece(NamedTuple):
    """A part of a tool call: the first has its id and name, the others more of its arguments."""

    number: int
    id: str = ""
    name: str = ""
    args: str = ""


class Usage(NamedTuple):
    """Tokens as the provider counted them; ``details`` in the provider's own names."""

    input_tokens: int
    output_tokens: int
    details: Mapping[str, Any] | None = None

    @property
    def cached_tokens(self) -> int | None:
        """Tokens in that the provider took from its cache; None where it does not say."""
        read = (self.details or {}).get("prompt_tokens_details")
        cached = read.get("cached_tokens") if isinstance(read, Mapping) else None
        return max(0, cached) if type(cached) is int else None


class Piece(NamedTuple):
    """One frame of a streamed reply.

    ``about`` is what the provider says beside it, in LangChain's names: ``model_name``,
    ``system_fingerprint``, ``service_tier``, ``logprobs``, ``refusal``.
    """

    text: str = ""
    reasoning: str = ""
    calls: Sequence[CallPiece] = ()
    finish: str | None = None
    usage: Usage | None = None
    about: Mapping[str, Any] | None = None


class Client(Protocol):
    """Makes one attempt at a provider each time it is streamed from."""

    def pieces(
        self, messages: Sequence[BaseMessage], /, **options: Any
    ) -> AsyncGenerator[Piece, None]:
        """A reply as it comes; options in OpenAI's names. Raises ``ModelError``.

        A reply that ends without a finish reason is a ``StreamCut``, never a short reply.
        """
        ...

    async def aclose(self) -> None: ...


@dataclass(kw_only=True)
class WrittenCall:
    """A tool call as far as it has come; ``args`` is JSON, whole only if the reply is."""

    number: int
    id: str
    name: str
    args: str


@dataclass(kw_only=True)
class Written:
    """All pieces of one attempt together; ``length`` in characters, ``first_at`` when the first
    piece of the reply came, by the monotonic clock, in seconds."""

    calls: list[WrittenCall] = field(default_factory=list)
    finish: str | None = None
    usage: Usage | None = None
    length: int = 0
    first_at: float | None = None
    about: dict[str, Any] = field(default_factory=dict)
    _text: list[str] = field(default_factory=list)
    _reasoning: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self._text)

    @property
    def reasoning(self) -> str:
        return "".join(self._reasoning)

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return bool(self.length or self.finish or self.usage)

    @property
    def was_cut(self) -> bool:
        """Whether the reply ended at the token limit."""
        return self.finish == "length"

    @property
    def everything(self) -> str:
        """All that the model wrote, to count it."""
        calls = "".join(call.name + call.args for call in self.calls)
        return self.reasoning + self.text + calls

    def add(self, piece: Piece) -> None:
        if piece.text:
            self._text.append(piece.text)
            self.length += len(piece.text)
        if piece.reasoning:
            self._reasoning.append(piece.reasoning)
            self.length += len(piece.reasoning)
        for call in piece.calls:
            self._add_call(call)
            self.length += len(call.name) + len(call.args)
        if piece.finish:
            self.finish = piece.finish
        if piece.usage:
            # Some servers send the count so far with every frame: the last one is the whole.
            self.usage = piece.usage
        if piece.about:
            self._add_about(piece.about)

    def _add_call(self, piece: CallPiece) -> None:
        # Some servers give every call the index 0, and tell them apart by their ids alone.
        for known in reversed(self.calls):
            if known.number == piece.number and piece.id in ("", known.id):
                # Others say the whole name again with each piece.
                known.name += piece.name if piece.name != known.name else ""
                known.args += piece.args
                return
        self.calls.append(
            WrittenCall(number=piece.number, id=piece.id, name=piece.name, args=piece.args)
        )

    def _add_about(self, about: Mapping[str, Any]) -> None:
        for name, value in about.items():
            known = self.about.get(name)
            if name == "refusal" and known:
                self.about[name] = known + value
            elif name == "logprobs" and known:
                self.about[name] = _joined(known, value)
            else:
                self.about[name] = value


def _joined(known: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Log probabilities of one piece after the other: lists grow, the rest is replaced."""
    joined = {**known}
    for name, value in more.items():
        before = joined.get(name)
        both = isinstance(before, list) and isinstance(value, list)
        joined[name] = [*before, *value] if both and before is not None else value
    return joined
