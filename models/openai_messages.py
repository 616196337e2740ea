"""LangChain's messages in OpenAI's form. Pure: no IO."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    convert_to_openai_messages,
)


def to_openai(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    """The messages as a request has them; raises ``ValueError`` on a kind that OpenAI lacks."""
    return [_message(message) for message in messages]


def dumps(body: Mapping[str, Any]) -> bytes:
    """JSON; numbers beyond 64 bits and broken surrogates, which orjson refuses, too."""
    try:
        return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(body).encode()


def _message(message: BaseMessage) -> dict[str, Any]:
    if isinstance(message, HumanMessage):
        return _named({"role": "user", "content": _content(message)}, message)
    if isinstance(message, SystemMessage):
        role = message.additional_kwargs.get("__openai_role__", "system")
        return _named({"role": role, "content": str(message.text)}, message)
    if isinstance(message, ToolMessage):
        return {
            "role": "tool",
            "tool_call_id": message.tool_call_id,
            "content": _content(message),
        }
    if isinstance(message, AIMessage):
        return _named(_assistant(message), message)
    if isinstance(message, ChatMessage):
        return _named({"role": message.role, "content": _content(message)}, message)
    raise ValueError(f"a message of type {message.type} cannot be sent to a chat model")


def _assistant(message: AIMessage) -> dict[str, Any]:
    # Text alone: what it thought is not for the provider to read again.
    text = str(message.text)
    calls: list[dict[str, Any]] = [
        {
            "type": "function",
            "id": call["id"],
            "function": {"name": call["name"], "arguments": dumps(call["args"]).decode()},
        }
        for call in message.tool_calls
    ]
    broken_calls: list[dict[str, Any]] = [
        {
            "type": "function",
            "id": broken["id"],
            "function": {"name": broken["name"], "arguments": broken["args"]},
        }
        for broken in message.invalid_tool_calls
    ]
    calls += broken_calls
    if not calls:
        return {"role": "assistant", "content": text}
    return {"role": "assistant", "content": text or None, "tool_calls": calls}


def _content(message: BaseMessage) -> Any:
    if isinstance(message.content, str):
        return message.content
    [converted] = convert_to_openai_messages([message.model_copy(update={"additional_kwargs": {}})])
    return converted["content"]


def _named(fields: dict[str, Any], message: BaseMessage) -> dict[str, Any]:
    return {**fields, "name": message.name} if message.name else fields
