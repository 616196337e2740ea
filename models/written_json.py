"""JSON that somebody else wrote, in one walk: what can be kept and sent on, or why not. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

DEEPEST = 100
_LARGEST = 2**63
_DEEP = "is nested deeper than {} levels; make it flatter"


def loads(text: str) -> Any:
    """What a text holds, as ``kept`` has it. Raises ValueError where it is no such JSON."""
    try:
        return kept(json.loads(text))
    except RecursionError:
        raise ValueError(_DEEP.format(DEEPEST)) from None


def whole_text(text: str) -> str:
    """The text with U+FFFD for halves of a surrogate pair, which JSON can spell and UTF-8 cannot
    hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def kept(value: Any, *, text: Callable[[str], str] = whole_text, deepest: int = DEEPEST) -> Any:
    """The value with each string and name in it as ``text`` has them.

    Raises ValueError for numbers that are not finite or beyond 64 bits, and what is nested deeper
    than ``deepest`` levels; the message goes behind the name of a field.
    """

    def walk(value: Any, depth: int) -> Any:
        if depth > deepest:
            raise ValueError(_DEEP.format(deepest))
        match value:
            case str():
                return text(value)
            case dict():
                return {text(name): walk(one, depth + 1) for name, one in value.items()}
            case list():
                return [walk(one, depth + 1) for one in value]
            case int() if not -_LARGEST <= value < _LARGEST:
                raise ValueError("holds a number beyond 64 bits; give it as text")
            case float() if not math.isfinite(value):
                raise ValueError("holds a number that JSON does not know; leave it out")
            case _:
                return value

    return walk(value, 0)
