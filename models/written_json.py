"""JSON as models and their servers write it; what could not be kept or sent on is mended. Pure."""

from __future__ import annotations

import json
import math
from typing import Any

DEEPEST = 100
_LARGEST = 2**63


def loads(text: str) -> Any:
    """What a text holds, as ``kept`` has it. Raises ValueError where it is no such JSON."""
    try:
        return kept(json.loads(text))
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels") from None


def kept(value: Any) -> Any:
    """The value with U+FFFD for halves of a surrogate pair, which JSON can spell and UTF-8 cannot
    hold. Raises ValueError for numbers that are not finite or beyond 64 bits, and what is deeper
    than ``DEEPEST``.
    """
    return _kept(value, 0)


def whole_text(text: str) -> str:
    """The text with U+FFFD for halves of a surrogate pair."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _kept(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} levels")
    match value:
        case str():
            return whole_text(value)
        case dict():
            return {whole_text(name): _kept(one, depth + 1) for name, one in value.items()}
        case list():
            return [_kept(one, depth + 1) for one in value]
        case int() if not -_LARGEST <= value < _LARGEST:
            raise ValueError("a number beyond 64 bits; write it as text")
        case float() if not math.isfinite(value):
            raise ValueError("a number that is not finite")
        case _:
            return value
