"""Files of threads as JSON and as HTTP sends them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from typing_extensions import TypedDict

if TYPE_CHECKING:
    from server.artifacts.store import Kept

PATH = "/artifacts"
# Shown by a browser where it is asked to; everything else is saved.
_INLINE = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "text/plain"})
# Documents with scripts of somebody's: shown without them, without a network, and as nobody.
_FRAMED = frozenset({"text/html", "image/svg+xml"})
_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:"


class File(TypedDict):
    """A file of a thread: what a user gave (`upload`), or what a run made (`run`)."""

    id: str
    name: str
    media_type: str
    bytes: int
    sha256: str
    origin: str
    run_id: str | None
    thread_id: str
    created_at: str
    url: str


class Files(TypedDict):
    """Files of a thread, the oldest first."""

    items: list[File]


def path_of(artifact_id: str) -> str:
    """Where a file is fetched."""
    return f"{PATH}/{quote(artifact_id, safe='')}"


def shown(kept: Kept) -> File:
    """A file without its content."""
    return File(
        id=kept.artifact_id,
        name=kept.name,
        media_type=kept.media_type,
        bytes=kept.bytes,
        sha256=kept.sha256,
        origin=kept.origin.value,
        run_id=kept.run_id,
        thread_id=kept.thread_id,
        created_at=kept.created_at.isoformat(),
        url=path_of(kept.artifact_id),
    )


def headers(kept: Kept, *, download: bool) -> dict[str, str]:
    """What makes a content that nobody has vouched for safe to be fetched by a browser."""
    inline = not download and kept.media_type in _INLINE | _FRAMED
    base = kept.name.rpartition("/")[2]
    plain = "".join(c if c.isascii() and c not in '"\\' else "_" for c in base)
    named = f"filename=\"{plain}\"; filename*=UTF-8''{quote(base, safe='')}"
    text = kept.media_type.startswith("text/")
    return {
        "Content-Type": kept.media_type + ("; charset=utf-8" if text else ""),
        "Content-Disposition": f"{'inline' if inline else 'attachment'}; {named}",
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "private, max-age=3600",
        "ETag": etag(kept),
    }


def etag(kept: Kept) -> str:
    return f'"{kept.sha256}"'


def unchanged(kept: Kept, asked: str | None) -> bool:
    """Whether an `If-None-Match` has the content already."""
    tags = {one.strip().removeprefix("W/") for one in (asked or "").split(",")}
    return "*" in tags or etag(kept) in tags
