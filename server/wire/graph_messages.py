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
    plain = {name: value for name, value in unfolded(told).items() if value is not None}
    role = str(plain.pop("role", None) or plain.pop("type", "")).removesuffix("MessageChunk")
    plain.pop("type", None)
    plain.setdefault("content", "")
    try:
        read = convert_to_messages([{**plain, "role": _ROLES.get(role, role).lower()}])
    except Exception:  # noqa: BLE001 - LangChain raises many kinds for what it cannot read
        raise _bad(number) from None
    return cast("AnyMessage", read[0])


def unfolded(told: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message with its fields on top, in whichever way it was serialised."""
    inner, name = told.get("kwargs"), told.get("id")
    if told.get("type") == "constructor" and isinstance(inner, Mapping):
        # As `dumpd` writes a message, and JavaScript's `JSON.stringify`; its class is in the id.
        last = str(name[-1]) if isinstance(name, Sequence) and name else ""
        kind = last.removesuffix("Chunk").removesuffix("Message").lower()
        return {"type": kind, **inner}
    if isinstance(told.get("data"), Mapping):
        # As `message_to_dict` writes it.
        return {**told["data"], "type": told.get("type")}
    return told


def _bad(number: int) -> BadMessageError:
    return BadMessageError(
        f"input.messages[{number}]: give role (user, assistant, system, tool) and content"
    )
