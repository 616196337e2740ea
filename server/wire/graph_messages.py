"""Messages in any of the shapes that LangGraph's clients send, as LangChain's. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.messages import AnyMessage, BaseMessage, convert_to_messages

_ROLES = {"developer": "system", "human": "user", "ai": "assistant"}


class BadMessageError(ValueError):
    """A message in no known shape; the line names which one, and what it may be."""


def read(given: Any) -> list[AnyMessage]:
    """One message or many: text, ``role``/``content``, ``type``/``content``, or a serialised one.

    Raises BadMessageError.
    """
    if given is None:
        return []
    many = given if isinstance(given, Sequence) and not isinstance(given, str) else [given]
    return [_message(one, number) for number, one in enumerate(many)]


def _message(told: Any, number: int) -> AnyMessage:
    if isinstance(told, BaseMessage):
        return cast("AnyMessage", told)
    if isinstance(told, str):
        told = {"role": "user", "content": told}
    if not isinstance(told, Mapping):
        raise _bad(number)
    inner = told.get("kwargs")
    if told.get("type") == "constructor" and isinstance(inner, Mapping):
        # As `dumpd` writes a message; its class stands in the id.
        name = str((told.get("id") or [""])[-1]).removesuffix("Chunk").removesuffix("Message")
        told = {"type": name.lower(), **inner}
    elif isinstance(told.get("data"), Mapping):
        # As `message_to_dict` writes it.
        told = {**told["data"], "type": told.get("type")}
    plain = {name: value for name, value in told.items() if value is not None}
    role = str(plain.pop("role", None) or plain.pop("type", "")).removesuffix("MessageChunk")
    plain.pop("type", None)
    plain.setdefault("content", "")
    try:
        read = convert_to_messages([{**plain, "role": _ROLES.get(role, role).lower()}])
    except Exception:  # noqa: BLE001 - LangChain raises many kinds for what it cannot read
        raise _bad(number) from None
    return cast("AnyMessage", read[0])


def _bad(number: int) -> BadMessageError:
    return BadMessageError(
        f"input.messages[{number}]: give role (user, assistant, system, tool) and content"
    )
