"""Names of files and ids of artifacts. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import unicodedata
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath

NAME_BYTES = 120
"""Longest name of a file, as UTF-8."""
BYTES = "application/octet-stream"
_PARTS = 8
_MEDIA_TYPE = re.compile(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,80}")
_UNSAFE = re.compile(r"[^\w.()+@=,~ -]")
_SPACES = re.compile(r"\s+")
_NAMELESS = "file"
_ID = re.compile(r"([ut])([A-Za-z0-9_-]{1,400})\.([A-Za-z0-9_-]{22})")


def safe_name(name: str) -> str:
    """A file's name without folders, control characters and whatever a shell, a page or a path
    could read as more than a name; never hidden, never empty."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    shown = _SPACES.sub(" ", _UNSAFE.sub("_", unicodedata.normalize("NFC", last))).strip()
    return _clipped(shown.lstrip(".").strip()) or _NAMELESS


def safe_path(path: str) -> str:
    """A relative path of safe names, as code wrote it."""
    parts = [safe_name(part) for part in PurePosixPath(path).parts if part.strip("./\\ ")]
    return "/".join(parts[-_PARTS:]) or _NAMELESS


def safe_media_type(media_type: str) -> str:
    """``type/subtype`` in lower case; that of plain bytes where it is none."""
    plain = media_type.partition(";")[0].strip().lower()
    return plain if _MEDIA_TYPE.fullmatch(plain) else BYTES


def candidates(name: str) -> Iterator[str]:
    """The name, then the same with a number before its ending: ``data.csv``, ``data-2.csv``."""
    yield name
    path = PurePosixPath(name)
    number = 2
    while True:
        yield f"{path.stem}-{number}{path.suffix}"
        number += 1


def artifact_id(*, thread_id: str, origin: str, name: str, sha256: str) -> str:
    """The id of one content under one name in one thread: always the same, and it tells the
    thread, so that no index has to."""
    seen = "\x1f".join((origin, name, sha256)).encode()
    digest = _text(hashlib.sha256(seen).digest()[:16])
    try:
        plain = uuid.UUID(thread_id)
    except ValueError:
        plain = None
    if plain is not None and str(plain) == thread_id:
        return f"u{_text(plain.bytes)}.{digest}"
    return f"t{_text(thread_id.encode())}.{digest}"


def thread_of(artifact_id: str) -> str | None:
    """The thread that an id tells; None where it is no id of ours."""
    found = _ID.fullmatch(artifact_id)
    if found is None:
        return None
    kind, text, _ = found.groups()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        thread_id = str(uuid.UUID(bytes=raw)) if kind == "u" else raw.decode()
    except (ValueError, binascii.Error):
        return None
    return thread_id or None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _clipped(name: str) -> str:
    """The name with its ending, ``NAME_BYTES`` at most."""
    if len(name.encode()) <= NAME_BYTES:
        return name
    path = PurePosixPath(name)
    suffix = path.suffix if len(path.suffix.encode()) <= NAME_BYTES // 4 else ""
    stem = name[: len(name) - len(suffix)].encode()[: NAME_BYTES - len(suffix.encode())]
    return stem.decode(errors="ignore").rstrip() + suffix
