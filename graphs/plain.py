"""Whatever a graph has in its state, as plain JSON: one way for every wire. Pure.

Messages, pydantic models and dataclasses become objects, sets and tuples arrays, dates ISO 8601,
bytes base64, enums their values; what nobody knows becomes its ``str``. Never raises.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Callable, Mapping, Set
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

from langchain_core.messages import BaseMessage
from langgraph.types import Command, Interrupt, PregelTask, Send, StateSnapshot
from pydantic import BaseModel

JSON = Any
DEEPEST = 100
_LARGEST = 2**63


def plain(value: Any) -> JSON:
    """The value as JSON: dict, list, str, int, float, bool or None, nothing else at any depth."""
    return _plain(value, 0)


def _plain(value: Any, depth: int) -> JSON:
    known = _KNOWN.get(type(value))
    if known is None:
        known = _kind(value)
    if depth > DEEPEST:
        return _string(_shown(value), depth)
    try:
        return known(value, depth)
    except Exception:  # noqa: BLE001 - a stranger's class may raise anything; its name is left
        return f"<{type(value).__name__}>"


def _same(value: Any, _: int) -> JSON:
    return value


def _integer(value: int, _: int) -> JSON:
    # What 64 bits cannot hold no client reads right either.
    return int(value) if -_LARGEST <= value < _LARGEST else str(int(value))


def _float(value: float, _: int) -> JSON:
    return float(value) if math.isfinite(value) else None


def _string(value: str, _: int) -> JSON:
    if type(value) is str and value.isascii():
        return value
    return str.encode(value, "utf-8", "replace").decode()


def _bytes(value: bytes | bytearray | memoryview, _: int) -> JSON:
    return base64.b64encode(value).decode()


def _many(value: Any, depth: int) -> JSON:
    return [_plain(one, depth + 1) for one in value]


def _mapping(value: Mapping[Any, Any], depth: int) -> JSON:
    return {
        (key if type(key) is str and key.isascii() else _key(key)): _plain(one, depth + 1)
        for key, one in value.items()
    }


def _key(key: Any) -> str:
    if isinstance(key, Enum):
        key = key.value
    return str(_string(key if isinstance(key, str) else _shown(key), 0))


def _message(value: BaseMessage, depth: int) -> JSON:
    # As `model_dump` has it, in one pass: what that gives would have to be looked through again.
    told = {name: _plain(one, depth + 1) for name, one in value.__dict__.items()}
    if value.__pydantic_extra__:
        told.update(_mapping(value.__pydantic_extra__, depth))
    return told


def _model(value: BaseModel, depth: int) -> JSON:
    return _plain(value.model_dump(), depth)


def _dataclass(value: Any, depth: int) -> JSON:
    return {
        field.name: _plain(getattr(value, field.name, None), depth + 1)
        for field in dataclasses.fields(value)
    }


def _interrupt(value: Interrupt, depth: int) -> JSON:
    return {"id": value.id, "value": _plain(value.value, depth + 1)}


def _send(value: Send, depth: int) -> JSON:
    return {"node": value.node, "input": _plain(value.arg, depth + 1)}


def _command(value: Command[Any], depth: int) -> JSON:
    names = ("graph", "update", "resume", "goto")
    return {
        name: _plain(one, depth + 1)
        for name in names
        if (one := getattr(value, name)) is not None and one != ()
    }


def _named(value: Any, depth: int) -> JSON:
    return {name: _plain(one, depth + 1) for name, one in value._asdict().items()}


def _task(value: PregelTask, depth: int) -> JSON:
    told = _named(value, depth)
    if isinstance(told["state"], dict) and "configurable" in told["state"]:
        # Clients know a task's own checkpoint by this name.
        told["checkpoint"] = told["state"]["configurable"]
        told["state"] = None
    return told


def _enum(value: Enum, depth: int) -> JSON:
    return _plain(value.value, depth + 1)


def _iso(value: date | time, _: int) -> JSON:
    return value.isoformat()


def _seconds(value: timedelta, _: int) -> JSON:
    return value.total_seconds()


def _text(value: Any, depth: int) -> JSON:
    return _string(str(value), depth)


def _error(value: BaseException, depth: int) -> JSON:
    return {"error": type(value).__name__, "message": _string(str(value), depth)}


def _array(value: Any, depth: int) -> JSON:
    """An array or a number of numpy, and what else calls itself so."""
    return _plain(value.tolist(), depth + 1)


def _shown(value: Any) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - a stranger's class may raise anything; its name is left
        return f"<{type(value).__name__}>"


_Writer = Callable[[Any, int], JSON]

_KNOWN: dict[type, _Writer] = {
    type(None): _same,
    bool: _same,
    int: _integer,
    float: _float,
    str: _string,
    dict: _mapping,
    list: _many,
    tuple: _many,
    set: _many,
    frozenset: _many,
}

# In this order: the first that fits.
_KINDS: tuple[tuple[Any, _Writer], ...] = (
    (Enum, _enum),
    (BaseMessage, _message),
    (Interrupt, _interrupt),
    (Command, _command),
    (Send, _send),
    (PregelTask, _task),
    (StateSnapshot, _named),
    (BaseModel, _model),
    (str, _string),
    (int, _integer),
    (float, _float),
    (bytes | bytearray | memoryview, _bytes),
    (datetime | date | time, _iso),
    (timedelta, _seconds),
    (Mapping, _mapping),
    (list | tuple | Set, _many),
    (Decimal | UUID | PurePath, _text),
    (BaseException, _error),
)


def _kind(value: Any) -> _Writer:
    for kinds, writer in _KINDS:
        if isinstance(value, kinds):
            return _named if writer is _many and hasattr(value, "_asdict") else writer
    if isinstance(value, type):
        return _text
    if dataclasses.is_dataclass(value):
        return _dataclass
    if hasattr(value, "tolist"):
        return _array
    return _text
