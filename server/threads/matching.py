"""Whether one JSON value holds another, and what of it can be looked up by an index. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


def scalar(value: Any) -> bytes | None:
    """A scalar as the one JSON text that equal scalars share; None for lists and objects."""
    match value:
        case list() | dict():
            return None
        case float() if value.is_integer():
            return orjson.dumps(int(value))
        case _:
            return orjson.dumps(value)


def contains(whole: Any, part: Any) -> bool:
    """Whether ``part`` is held: objects by keys, lists by elements, scalars by being equal."""
    if isinstance(part, Mapping):
        return isinstance(whole, Mapping) and all(
            key in whole and contains(whole[key], value) for key, value in part.items()
        )
    if isinstance(part, list | tuple):
        return isinstance(whole, list | tuple) and all(
            any(contains(one, wanted) for one in whole) for wanted in part
        )
    if isinstance(part, bool) or isinstance(whole, bool):
        return whole is part
    return bool(whole == part)
