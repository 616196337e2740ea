"""What a body may hold as free JSON, checked once for every store and every client. Pure."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator

from models import written_json
from server.wire.messages import storable

DEEPEST = 64


def checked(value: Any, *, deepest: int = DEEPEST) -> Any:
    """JSON that can be kept, without lone surrogates. Raises ValueError."""
    return written_json.kept(value, text=storable, deepest=deepest)


AnyJson = Annotated[Any, AfterValidator(checked)]
JsonObject = Annotated[dict[str, Any], AfterValidator(checked)]
