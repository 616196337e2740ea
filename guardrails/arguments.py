"""One text and one hash for the arguments of a call, so that what was approved is what runs.

The same call gives the same text whatever the order of its keys, the spacing of its JSON, or how a
number was written: ``1``, ``1.0`` and ``1e0`` are one number, ``-0.0`` is ``0``. Nothing else is
made equal. Strings count code point by code point, without Unicode normalisation: two file names
that look alike are two files, and the approval of one must not run the other. ``true`` is not
``1``, ``null`` is not an absent key, and the order of a list matters.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

_DEEPEST = 100


class ArgumentsError(ValueError):
    """Arguments that have no canonical form; such a call cannot be approved and must not run."""


def canonical(args: Mapping[str, Any]) -> str:
    """The arguments as canonical JSON: keys sorted by code point, no spaces, UTF-8 as it stands.

    Raises ArgumentsError for what is no plain JSON: a number that is not finite, a key that is no
    string, a lone surrogate, an object of a class, more than 100 levels.
    """
    return _text(_plain(args, "arguments", 0))


def digest(tool: str, args: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) over the canonical JSON of ``[tool, args]``.

    Raises ArgumentsError like ``canonical``.
    """
    text = _text([_plain(tool, "tool", 0), _plain(args, "arguments", 0)])
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: Any) -> str:
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except ValueError as error:
        # An integer of more digits than Python converts.
        raise ArgumentsError(f"arguments: {error}") from None


def _plain(value: Any, where: str, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ArgumentsError(f"arguments: more than {_DEEPEST} levels")
    match value:
        case None | bool() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise ArgumentsError(f"{where}: {value} is no number of JSON")
            return int(value) if value.is_integer() else value
        case str():
            return _checked(value, where)
        case Mapping():
            plain = {}
            for key, one in value.items():
                if not isinstance(key, str):
                    raise ArgumentsError(f"{where}: the key {key!r} is no string")
                plain[_checked(key, where)] = _plain(one, f"{where}.{key}", depth + 1)
            return plain
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            return [_plain(one, f"{where}[{at}]", depth + 1) for at, one in enumerate(value)]
        case _:
            raise ArgumentsError(f"{where}: {type(value).__name__} is no value of JSON")


def _checked(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ArgumentsError(f"{ascii(where)[1:-1]}: half of a surrogate pair") from None
    return str(text)
