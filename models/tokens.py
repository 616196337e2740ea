"""How many tokens a text takes, estimated without the model's tokenizer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from langchain_core.messages import AIMessage, BaseMessage

_CHARACTERS_PER_TOKEN = 3.5  # English prose has about 4, code and tables about 3
_TOKENS_PER_MESSAGE = 4  # the template's role marks


def count_text(text: str) -> int:
    """Tokens of a text; at least one where there is any. Beyond ASCII, one a character."""
    if not text:
        return 0
    narrow = len(text) if text.isascii() else sum(character < "\x80" for character in text)
    return math.ceil(narrow / _CHARACTERS_PER_TOKEN) + len(text) - narrow


def count_messages(
    messages: Sequence[BaseMessage], *, extra: Sequence[Mapping[str, Any]] = ()
) -> int:
    """Tokens of a prompt; ``extra`` is what travels beside the messages, as tools' schemas."""
    total = 0
    for message in messages:
        total += _TOKENS_PER_MESSAGE + count_text(str(message.text))
        if isinstance(message, AIMessage):
            total += sum(
                count_text(call["name"] + _dumps(call["args"])) for call in message.tool_calls
            )
    return total + sum(count_text(_dumps(item)) for item in extra)


def _dumps(value: Any) -> str:
    return orjson.dumps(value, default=str).decode()
