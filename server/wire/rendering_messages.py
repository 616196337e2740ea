"""The stream mode ``messages``: pieces of messages put together as they come. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import (
    AIMessageChunk,
    BaseMessageChunk,
    ChatMessageChunk,
    FunctionMessageChunk,
    HumanMessageChunk,
    SystemMessageChunk,
    ToolMessageChunk,
    message_chunk_to_message,
)

_PIECES: dict[str, type[BaseMessageChunk]] = {
    piece.__name__: piece
    for piece in (
        AIMessageChunk,
        ChatMessageChunk,
        FunctionMessageChunk,
        HumanMessageChunk,
        SystemMessageChunk,
        ToolMessageChunk,
    )
}

# More messages than that are not told complete one by one.
_ENDINGS = 100

Shown = tuple[str, Any]


class Partials:
    """The messages of one run, as far as they have come; told every piece in order."""

    def __init__(self) -> None:
        self._open: dict[str, BaseMessageChunk] = {}
        self._suffixes: dict[str, str] = {}
        self._known: set[str] = set()

    def show(self, message: Mapping[str, Any], metadata: Any, *, suffix: str) -> Iterator[Shown]:
        """The events of one message or piece; ``suffix`` is what their names end in."""
        name = str(message.get("id") or "")
        if name not in self._known:
            self._known.add(name)
            yield f"messages/metadata{suffix}", {name: {"metadata": metadata}}
        kind = _PIECES.get(str(message.get("type")))
        if kind is None:
            self._open.pop(name, None)
            yield f"messages/complete{suffix}", [message]
            return
        piece = kind.model_validate(message)
        before = self._open.get(name)
        whole = piece if before is None else before + piece
        self._open[name], self._suffixes[name] = whole, suffix
        yield f"messages/partial{suffix}", [_plain(whole)]
        if getattr(piece, "chunk_position", None) == "last":
            yield from self._complete(name)

    def ending(self) -> Iterator[Shown]:
        """What is complete because nothing follows."""
        for name in list(self._open)[:_ENDINGS]:
            yield from self._complete(name)
        if rest := [_plain(whole) for whole in self._open.values()]:
            self._open.clear()
            yield "messages/complete", rest

    def _complete(self, name: str) -> Iterator[Shown]:
        whole = self._open.pop(name)
        yield f"messages/complete{self._suffixes.pop(name)}", [_plain(whole)]


def _plain(whole: BaseMessageChunk) -> dict[str, Any]:
    return message_chunk_to_message(whole).model_dump(mode="json")
