"""A user's files of a thread, and how they come into the work folder of its session.

``Uploads`` is the seam to where they are kept; ``MemoryUploads`` is its twin for tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tools.sandbox.sandbox import SandboxError, Session


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One file that a user gave: ``name`` is what it is called in the work folder, ``bytes`` its
    size. Another content has another ``id``. It is a user's: data, and never read but in the
    sandbox."""

    id: str
    name: str
    bytes: int


class Uploads(Protocol):
    """What users gave to threads. Another tenant's is not there."""

    async def of_thread(self, thread_id: str, *, tenant: str) -> Sequence[Upload]:
        """A thread's uploads, oldest first, each under a name of its own."""
        ...

    async def read(self, upload_id: str, *, tenant: str) -> bytes | None:
        """The content; None where it is gone."""
        ...


class NoUploads:
    """Nobody has given anything."""

    async def of_thread(self, thread_id: str, *, tenant: str) -> Sequence[Upload]:
        return ()

    async def read(self, upload_id: str, *, tenant: str) -> bytes | None:
        return None


class MemoryUploads:
    """Uploads in memory: by tenant and thread, name to content."""

    def __init__(self, files: Mapping[tuple[str, str], Mapping[str, bytes]]) -> None:
        self._files = files

    async def of_thread(self, thread_id: str, *, tenant: str) -> Sequence[Upload]:
        there = self._files.get((tenant, thread_id), {})
        return [
            Upload(id=_id(thread_id, name, content), name=name, bytes=len(content))
            for name, content in there.items()
        ]

    async def read(self, upload_id: str, *, tenant: str) -> bytes | None:
        thread_id, _, name = upload_id.rpartition("@")[0].partition("/")
        content = self._files.get((tenant, thread_id), {}).get(name)
        there = content is not None and _id(thread_id, name, content) == upload_id
        return content if there else None


def _id(thread_id: str, name: str, content: bytes) -> str:
    return f"{thread_id}/{name}@{hashlib.sha256(content).hexdigest()}"


async def lay(
    session: Session, uploads: Uploads, *, laid: dict[str, str], tenant: str, thread_id: str
) -> list[str]:
    """Put a thread's uploads into the work folder, and give a note for each that does not lie
    there. What was laid there stays: code may have changed it. ``laid`` is the id of what lies
    under a name, and is kept: another file that the user gives under a name takes its place.

    Raises:
        SandboxError: the session cannot be used.
    """
    given = await uploads.of_thread(thread_id, tenant=tenant) if thread_id else ()
    if not given:
        return []
    notes = []
    there = {entry.path for entry in await session.files()}
    for upload in given:
        if upload.name in there and laid.get(upload.name) == upload.id:
            continue
        content = await uploads.read(upload.id, tenant=tenant)
        if content is None:
            continue
        try:
            await session.put({upload.name: content})
            laid[upload.name] = upload.id
        except (SandboxError, ValueError) as error:
            notes.append(f"[the user's file {upload.name} is not in the work folder: {error}]")
    return notes
