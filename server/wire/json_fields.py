"""What a body may hold as free JSON, checked once for every store and every client. Pure."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import AfterValidator

from server.wire.messages import storable

DEEPEST = 64
_LARGEST = 2**63


def checked(value: Any, *, depth: int = 0) -> Any:
    """JSON that can be kept, without lone surrogates. Raises ValueError."""
    if depth > DEEPEST:
        raise ValueError(f"is nested deeper than {DEEPEST} levels; make it flatter")
    match value:
        case str():
            return storable(value)
        case bool() | None:
            return value
        case int() if not -_LARGEST <= value < _LARGEST:
            raise ValueError("holds a number beyond 64 bits; give it as text")
        case float() if not math.isfinite(value):
            raise ValueError("holds a number that JSON does not know; leave it out")
        case list():
            return [checked(one, depth=depth + 1) for one in value]
        case dict():
            return {storable(name): checked(one, depth=depth + 1) for name, one in value.items()}
    return value


AnyJson = Annotated[Any, AfterValidator(checked)]
JsonObject = Annotated[dict[str, Any], AfterValidator(checked)]
