"""A message (EML) through the standard library: headers, body and what is attached."""

from __future__ import annotations

import contextlib
import email
from collections.abc import Iterator
from email.errors import HeaderParseError
from email.message import EmailMessage, MIMEPart
from email.policy import EmailPolicy
from typing import Any

from tools.retrieval import attachments, decode, parse_html
from tools.retrieval.assembly import Assembly
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import EmptyDocument, TooLarge
from tools.retrieval.sniff import Format

_HEADERS = ("From", "To", "Cc", "Date", "Subject")
_MAX_PARTS = 200


class _Lenient(EmailPolicy):
    """Headers as they come: in bytes of any encoding, and in forms that no standard knows."""

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        raw = str(value).encode("utf-8", errors="surrogateescape")
        if not raw.isascii():
            value = decode.decode(raw)
        try:
            return super().header_fetch_parse(name, value)
        except (HeaderParseError, LookupError, AttributeError, TypeError, ValueError):
            # The library's reader of headers trips over some.
            if name.lower().startswith("content-"):
                return super().header_fetch_parse(name, str(value).partition(";")[0])
            return str(value)


_POLICY = _Lenient()


def parse(data: bytes, *, name: str, read: attachments.Reader, max_chars: int) -> Parsed:
    """The message, then each attachment under its own name, read by ``read``.

    An attachment that cannot be read is named with the reason. Raises TooLarge for more than 200
    parts or ``max_chars`` characters of text, EmptyDocument for a message of nothing.
    """
    message = email.message_from_bytes(data, policy=_POLICY)
    assert isinstance(message, EmailMessage)
    if sum(1 for _ in message.walk()) > _MAX_PARTS:
        raise TooLarge(f"{name}: more than {_MAX_PARTS} parts; save its attachments one by one")
    subject = _header(message, "Subject")
    assembly = Assembly()
    assembly.heading(1, subject or name)
    headers = [(key, _header(message, key)) for key in _HEADERS]
    assembly.block("\n".join(f"{key}: {value}" for key, value in headers if value))
    body = message.get_body(preferencelist=("plain", "html"))
    text = _text(body)
    if not text.strip() and (page := message.get_body(preferencelist=("html",))) is not None:
        # Some programs send a plain form that is empty.
        body, text = page, _text(page)
    found = bool(subject or text.strip())
    if body is not None and body.get_content_type() == "text/html":
        _html(text, name=name, assembly=assembly)
    else:
        assembly.block(text)
    attached = [
        (_name(part, place), _bytes(part))
        for place, part in enumerate(_attached(message, body), start=1)
    ]
    found = found or bool(attached)
    attachments.include(attached, assembly, name=name, read=read, max_chars=max_chars - len(text))
    if not found:
        raise EmptyDocument(f"{name}: a message without text; nothing to ingest")
    return assembly.finish(title=subject or name, media_type=Format.EML)


def _html(text: str, *, name: str, assembly: Assembly) -> None:
    with contextlib.suppress(EmptyDocument):
        parsed = parse_html.parse(text.encode("utf-8", errors="replace"), name=name)
        assembly.include(parsed)


def _attached(message: MIMEPart, body: MIMEPart | None) -> Iterator[MIMEPart]:
    """Every leaf but the body and its other forms, and every message within."""
    if message is body:
        return
    if message.get_content_type() == "multipart/alternative" and body is not None:
        held = list(message.walk())
        if body in held:
            for part in held:
                if not part.is_multipart() and part.get_content_type() not in (
                    "text/plain",
                    "text/html",
                ):
                    yield part
            return
    if message.is_multipart() and message.get_content_maintype() != "message":
        for part in message.iter_parts():
            yield from _attached(part, body)
    elif message.is_multipart() or _bytes(message).strip():
        yield message


def _bytes(part: MIMEPart) -> bytes:
    if part.is_multipart():
        inner = part.get_payload(0)
        return inner.as_bytes() if isinstance(inner, MIMEPart) else b""
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return b""
    if _is_text(part, data):
        # Once it is by itself nobody knows what its charset was.
        return decode.decode(data, declared=part.get_content_charset()).encode("utf-8", "replace")
    return data


def _is_text(part: MIMEPart, data: bytes) -> bool:
    return (
        part.get_content_maintype() == "text"
        and part.get_content_charset() is not None
        and not decode.is_binary(data)
        and not data.startswith(b"%PDF-")
    )


def _text(part: MIMEPart | None) -> str:
    return "" if part is None else decode.decode(_bytes(part))


def _header(message: EmailMessage, key: str) -> str:
    return " ".join(str(message.get(key, "")).split())


def _name(part: MIMEPart, place: int) -> str:
    if part.get_content_type() == "message/rfc822":
        return part.get_filename() or f"{place}.eml"
    return part.get_filename() or f"part {place} ({part.get_content_type()})"
