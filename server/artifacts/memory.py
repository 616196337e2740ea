"""The twin of ``RedisThreadFiles``, in memory."""

from __future__ import annotations

import hashlib

from server.artifacts import naming
from server.artifacts.store import (
    FileLimits,
    Kept,
    Origin,
    copied,
    described,
    fits,
    named,
    ordered,
    refused,
)


class MemoryThreadFiles:
    """Files of threads in memory; none expires."""

    def __init__(self, *, limits: FileLimits | None = None) -> None:
        self._limits = limits or FileLimits()
        self._files: dict[tuple[str, str], dict[str, Kept]] = {}
        self._contents: dict[tuple[str, str, str], bytes] = {}

    async def put(
        self,
        content: bytes,
        *,
        name: str,
        media_type: str,
        tenant: str,
        thread_id: str,
        run_id: str | None,
        origin: Origin,
    ) -> Kept:
        fits(content, limits=self._limits)
        files = self._files.setdefault((tenant, thread_id), {})
        wanted = described(
            name=name,
            media_type=media_type,
            sha256=hashlib.sha256(content).hexdigest(),
            size=len(content),
            thread_id=thread_id,
            run_id=run_id,
            origin=origin,
        )
        kept = named(list(files.values()) if origin is Origin.UPLOAD else [], wanted)
        if kept.artifact_id in files:
            return files[kept.artifact_id]
        self._has_room(list(files.values()), kept)
        files[kept.artifact_id] = kept
        self._contents[tenant, thread_id, kept.sha256] = content
        return kept

    async def get(self, artifact_id: str, *, tenant: str) -> tuple[Kept, bytes] | None:
        thread_id = naming.thread_of(artifact_id) or ""
        kept = self._files.get((tenant, thread_id), {}).get(artifact_id)
        return None if kept is None else (kept, self._contents[tenant, thread_id, kept.sha256])

    async def of_thread(
        self, thread_id: str, *, tenant: str, origin: Origin | None = None
    ) -> list[Kept]:
        return ordered([*self._files.get((tenant, thread_id), {}).values()], origin=origin)

    async def remove(self, artifact_id: str, *, tenant: str) -> bool:
        thread_id = naming.thread_of(artifact_id) or ""
        files = self._files.get((tenant, thread_id), {})
        kept = files.pop(artifact_id, None)
        if kept is not None and all(one.sha256 != kept.sha256 for one in files.values()):
            del self._contents[tenant, thread_id, kept.sha256]
        return kept is not None

    async def drop(self, thread_id: str, *, tenant: str) -> None:
        for kept in self._files.pop((tenant, thread_id), {}).values():
            self._contents.pop((tenant, thread_id, kept.sha256), None)

    async def copy(self, thread_id: str, *, to: str, tenant: str) -> None:
        await copied(self, thread_id, to=to, tenant=tenant)

    def _has_room(self, there: list[Kept], kept: Kept) -> None:
        sizes = {one.sha256: one.bytes for one in there}
        runs = [one for one in there if one.origin is Origin.RUN and one.run_id == kept.run_id]
        if len(there) + 1 > self._limits.thread_files:
            raise refused("files", limits=self._limits)
        if sum({**sizes, kept.sha256: kept.bytes}.values()) > self._limits.thread_bytes:
            raise refused("bytes", limits=self._limits)
        if kept.origin is Origin.RUN and len(runs) + 1 > self._limits.run_files:
            raise refused("run", limits=self._limits)
