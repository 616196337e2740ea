"""What Slack refuses of a message: too long, too many, of a wrong shape."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MARKDOWN = 12_000
MESSAGE = 40_000
BLOCKS = 50
SECTION = 3_000
ALL_BLOCKS = 13_200


def listed(given: Any) -> list[dict[str, Any]]:
    """A list that may have come as JSON."""
    return list(json.loads(given) if isinstance(given, str) else given or [])


def streamed(body: dict[str, Any]) -> int:
    """How many characters a call adds to a stream."""
    told = [one for one in listed(body.get("chunks")) if one.get("type") == "markdown_text"]
    return sum(len(one["text"]) for one in told)


def wrong(method: str, body: dict[str, Any]) -> str | None:
    """Slack's word for what is wrong with a call; None where nothing is."""
    if len(body.get("markdown_text") or "") > MARKDOWN:
        return "msg_too_long"
    if streamed(body) > MARKDOWN:
        return "msg_too_long"
    if len(body.get("text") or "") > MESSAGE:
        return "msg_too_long"
    if body.get("markdown_text") and (
        body.get("text") or (body.get("blocks") and "ts" not in body)
    ):
        return "markdown_text_conflict"
    blocks = listed(body.get("blocks"))
    if len(blocks) > BLOCKS:
        return "invalid_blocks"
    if sum(len(words) for words in _texts(blocks)) > ALL_BLOCKS:
        return "msg_blocks_too_long"
    for block in blocks:
        if block.get("type") == "markdown":
            if not block["text"] or len(block["text"]) > MARKDOWN:
                return "invalid_blocks"
            continue
        if any(len(words) > SECTION for words in _texts([block])):
            return "invalid_blocks"
        if block.get("type") == "section" and not (block.get("text") or block.get("fields")):
            return "invalid_blocks"
    return None


def words(blocks: list[dict[str, Any]]) -> list[str]:
    """Everything that blocks say, in order."""
    return list(_texts(blocks))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, one in value.items():
            if name == "text" and isinstance(one, str):
                yield one
            else:
                yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
