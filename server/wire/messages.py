"""Messages as clients of either wire send them, to the plain ones that a run keeps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from server.errors import Invalid
from server.wire import sections

Message = dict[str, str]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
}
_TEXTS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
LONGEST_ID = 200


def plain(messages: Sequence[Any], *, where: str = "messages") -> list[Message]:
    """``[{"role": "user" | "assistant" | "system", "content": text}]``; with ``id`` where one is.

    What a client's own tool gave is data and becomes the user's word, never the system's. Parts
    that are not read, such as images, are refused from the last question on, and only named in what
    was said before: clients send it again each time. Raises Invalid, which names the field.
    """
    last = last_question(messages)
    told = [
        _plain(message, field=f"{where}.{i}", before=i < last) for i, message in enumerate(messages)
    ]
    kept = [message for message in told if message is not None]
    if not kept:
        raise Invalid(f"{where}: there is nothing to answer; send a user message", param=where)
    return kept


def last_question(messages: Sequence[Any]) -> int:
    """Where the user's last message is: what comes before was said earlier."""
    return max((i for i, one in enumerate(messages) if _role(one) == "user"), default=0)


def unread(kind: str) -> str:
    """What stands for a part of an earlier message that is not read."""
    return f"[not read here: {kind}]"


def _role(message: Any) -> str | None:
    given = message.get("role", message.get("type")) if isinstance(message, Mapping) else None
    return ROLES.get(given) if isinstance(given, str) else None


def _plain(message: Any, *, field: str, before: bool) -> Message | None:
    if not isinstance(message, Mapping):
        raise Invalid(f'{field}: not a message; send {{"role", "content"}}', param=field)
    role = _role(message)
    if role is None:
        name = f"{field}.role"
        raise Invalid(f"{name}: must be system, developer, user, assistant or tool", param=name)
    content = message.get("content")
    if content is None and role == "assistant":
        # It only called tools of the client's.
        return None
    text = _text(content, field=f"{field}.content", before=before)
    # Clients know their own message again by its id.
    own: Any = message.get("id")
    named = {"id": storable(own)} if isinstance(own, str) and 0 < len(own) <= LONGEST_ID else {}
    match role:
        case "tool":
            return {"role": "user", "content": f"A tool gave this result:\n{text}", **named}
        case "assistant":
            # What we put under an answer is no part of the conversation.
            return {"role": role, "content": sections.without(text), **named}
        case _:
            return {"role": role, "content": text, **named}


def _text(content: Any, *, field: str, before: bool) -> str:
    if isinstance(content, str):
        return storable(content)
    if not isinstance(content, list):
        raise Invalid(f"{field}: must be text, or a list of text parts", param=field)
    return "\n".join(_part(part, field=field, before=before) for part in content)


def _part(part: Any, *, field: str, before: bool) -> str:
    if isinstance(part, str):
        return storable(part)
    kind = part.get("type") if isinstance(part, Mapping) else None
    text = part.get(_TEXTS[kind]) if isinstance(kind, str) and kind in _TEXTS else None
    if isinstance(text, str):
        return storable(text)
    named = storable(kind)[:50] if isinstance(kind, str) else "such"
    if before and isinstance(kind, str):
        return unread(named)
    raise Invalid(
        f"{field}: {named} parts are not read here; send text, or a file of a user's as a `file` "
        "part; what is to be searched goes to POST /documents",
        param=field,
    )


def storable(text: str) -> str:
    """Text without lone surrogates, which JSON can spell and UTF-8 cannot hold."""
    return text.encode("utf-8", errors="replace").decode("utf-8")
