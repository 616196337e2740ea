"""Files inside messages: taken out of them, so that their names stay and their contents go where
files are kept. Pure.

OpenAI's `file` and `input_file` parts, and LangChain's `file` and `text-plain` blocks of either
version: with base64, a data URL or text. Nothing is fetched from anywhere.
"""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from server.artifacts import naming
from server.attaching import Attachment
from server.errors import Invalid
from server.wire.messages import last_question, storable, unread

MOST = 50
"""Most files of one request."""
# Tuples, as whatever stands in a message is compared with them.
_KINDS = ("file", "input_file", "text-plain")
_ASKING = ("user", "human")
_DATA_URL = re.compile(r"data:(?P<type>[^;,]*)(?P<more>(?:;[^;,]*)*),", re.IGNORECASE)
_SPACE = re.compile(r"\s+")

Object = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Messages without their files, and the files in their order."""

    files: Sequence[Attachment]
    _messages: Sequence[Any]

    def messages(self, names: Sequence[str] | None = None) -> list[Any]:
        """The messages with a word for each file in its place, by its name as it is kept."""
        left = iter(names if names is not None else [one.name for one in self.files])
        return [_named(message, left) for message in self._messages]


class _Place:
    """Where a file stood in a message."""


def held(messages: Sequence[Any]) -> bool:
    """Whether a user's message has a file in it, one that can be read or not."""
    return any(map(_count, messages))


def taken(messages: Sequence[Any], *, where: str = "messages", limit: int) -> Taken:
    """Take the files out of the messages of users; ``limit`` in bytes each. Of those that were
    said before the last question the earliest are left out where all would be more than ``MOST``.

    Raises Invalid, which names the field, for a file of the last question that cannot be read.
    """
    files: list[Attachment] = []
    last = last_question(messages)
    left_out = max(0, sum(map(_count, messages)) - MOST)
    told = []
    for i, message in enumerate(messages):
        skip = min(left_out, _count(message)) if i < last else 0
        left_out -= skip
        field = f"{where}.{i}.content"
        told.append(
            _without_files(message, files, field=field, limit=limit, before=i < last, skip=skip)
        )
    return Taken(files=files, _messages=told)


def _asks(message: Any) -> bool:
    """Whether it is a user's message of parts."""
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return False
    return message.get("role", message.get("type")) in _ASKING


def _count(message: Any) -> int:
    """How many files a user's message has."""
    return sum(map(_is_file, message["content"])) if _asks(message) else 0


def _is_file(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _KINDS


def _without_files(
    message: Any, files: list[Attachment], *, field: str, limit: int, before: bool, skip: int
) -> Any:
    if not _asks(message):
        return message
    parts: list[Any] = []
    for at, part in enumerate(message["content"]):
        if _is_file(part) and skip:
            skip -= 1
            parts.append({"type": "text", "text": unread(str(part["type"]))})
        elif _is_file(part):
            if len(files) == MOST:
                raise Invalid(f"{field}: more than {MOST} files; send fewer at a time", param=field)
            try:
                files.append(_file(part, field=f"{field}.{at}", limit=limit))
            except Invalid:
                if not before:
                    raise
                # It was refused when it came, and is sent again with each question.
                parts.append({"type": "text", "text": unread(str(part["type"]))})
            else:
                parts.append(_Place())
        else:
            parts.append(part)
    return {**message, "content": parts}


def _named(message: Any, names: Any) -> Any:
    if not isinstance(message, Mapping) or not isinstance(message.get("content"), list):
        return message
    parts = [
        {"type": "text", "text": f"[attached: {next(names)}]"} if isinstance(one, _Place) else one
        for one in message["content"]
    ]
    return {**message, "content": parts}


def _file(part: Object, *, field: str, limit: int) -> Attachment:
    inner = part.get("file")
    about: Object = inner if isinstance(inner, Mapping) else part
    media_type = _text(about, "mime_type", "mimeType", "media_type")
    data = _text(about, "file_data", "base64", "data")
    text = about.get("text")
    url = _text(about, "url")
    if url and not data:
        if not url.lower().startswith("data:"):
            raise Invalid(
                f"{field}: nothing is fetched; send the file itself, as base64 or as a data URL",
                param=field,
            )
        data = url
    if not data and isinstance(text, str):
        content = text.encode("utf-8", errors="replace")
        _fits(len(content), field=field, limit=limit)
        media_type = media_type or "text/plain"
    elif data:
        content, told = _decoded(data, field=field, limit=limit)
        media_type = media_type or told
    elif _text(about, "file_id", "id") and not data:
        raise Invalid(
            f"{field}: file ids are not known here; send the file itself, or POST it to the "
            "thread's files first and ask about it by its name",
            param=field,
        )
    else:
        raise Invalid(
            f"{field}: the file has no content; give file.filename and file.file_data, or base64 "
            "with mime_type",
            param=field,
        )
    name = _name(about, part) or f"file{mimetypes.guess_extension(media_type) or ''}"
    return Attachment(
        name=naming.safe_name(name), media_type=media_type, content=content, field=field
    )


def _decoded(data: str, *, field: str, limit: int) -> tuple[bytes, str]:
    """The bytes behind base64 or a data URL, and the type that the URL tells."""
    url = _DATA_URL.match(data[:1000])
    if url is not None and not url["more"].lower().endswith(";base64"):
        content = unquote_to_bytes(data[url.end() :])
        _fits(len(content), field=field, limit=limit)
        return content, url["type"]
    plain = _SPACE.sub("", data[url.end() :] if url else data)
    _fits(len(plain) * 3 // 4 - 2, field=field, limit=limit)
    try:
        content = base64.b64decode(plain, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"{field}: the file's content is no valid base64", param=field) from None
    _fits(len(content), field=field, limit=limit)
    return content, url["type"] if url else ""


def _fits(size: int, *, field: str, limit: int) -> None:
    if size > limit:
        raise Invalid(
            f"{field}: the file has {size:,} bytes; {limit:,} at most are taken "
            "(setting files.file_mib)",
            param=field,
        )


def _name(*places: Object) -> str:
    for place in places:
        more = place.get("metadata") or place.get("extras")
        for about in (place, more if isinstance(more, Mapping) else {}):
            if name := _text(about, "filename", "file_name", "name", "title"):
                return storable(name)
    return ""


def _text(about: Object, *names: str) -> str:
    """The first of the fields that holds a text."""
    return next((about[name] for name in names if isinstance(about.get(name), str)), "")
