"""Where files of threads are kept. ``ThreadFiles`` is the seam, ``RedisThreadFiles`` is real,
``server.artifacts.memory`` has its twin.

A content is kept once in a thread, however many names it has. Nobody has vouched for any of it:
uploads are a user's, files of runs are a guest's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Protocol, cast

import orjson
from redis.asyncio import Redis

from graphs.keys import Keys
from server.artifacts import naming
from server.artifacts.scripts import LIST, PUT, REMOVE, SETTLE
from tools.artifacts import ArtifactError

MEBIBYTE = 1024 * 1024
TEMPORARY_SECONDS = 3600
"""How long the files of a thread without a record are kept behind the last one: what a run without
a thread made can be fetched after its end."""
_TRIES = 20


class Origin(StrEnum):
    """Who a file comes from."""

    UPLOAD = "upload"
    RUN = "run"


@dataclass(frozen=True, kw_only=True)
class FileLimits:
    """Most that is kept; sizes in bytes. A run's are counted by its ``Origin.RUN`` files, and a
    content that a thread keeps already counts nothing towards its bytes."""

    file_bytes: int = 16 * MEBIBYTE
    run_files: int = 50
    thread_files: int = 200
    thread_bytes: int = 64 * MEBIBYTE


@dataclass(frozen=True, kw_only=True)
class Kept:
    """One file of a thread; ``bytes`` is its size, ``sha256`` in hex, ``created_at`` in UTC.

    ``name`` is safe as a name in a folder; that of a run's file may be a relative path.
    """

    artifact_id: str
    name: str
    media_type: str
    sha256: str
    bytes: int
    thread_id: str
    run_id: str | None
    origin: Origin
    created_at: datetime


class ThreadFiles(Protocol):
    """Files of threads. Another tenant's are not there."""

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
        """Keep one. The same content under the same name again is the same file.

        A name is made safe. An upload's is no other file's of its thread: where another content
        has it, a number is added. A run's file may have the name of an earlier one. A thread
        that has no record (yet) keeps its files for ``TEMPORARY_SECONDS``.

        Raises:
            ArtifactError: it is too large, or the thread or run has too many; the message is for
                people.
        """
        ...

    async def get(self, artifact_id: str, *, tenant: str) -> tuple[Kept, bytes] | None:
        """A file with its content."""
        ...

    async def of_thread(
        self, thread_id: str, *, tenant: str, origin: Origin | None = None
    ) -> list[Kept]:
        """A thread's files, oldest first."""
        ...

    async def remove(self, artifact_id: str, *, tenant: str) -> bool:
        """Drop one; whether it was there."""
        ...

    async def drop(self, thread_id: str, *, tenant: str) -> None:
        """Drop all of a thread: it is gone. May be done again."""
        ...

    async def copy(self, thread_id: str, *, to: str, tenant: str) -> None:
        """Give another thread of the tenant's the same files, under ids of its own."""
        ...


class RedisThreadFiles:
    """Files in Redis, all of one thread under its hash tag."""

    def __init__(self, redis: Redis, keys: Keys, *, limits: FileLimits | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self._limits = limits or FileLimits()
        self._list = redis.register_script(LIST)
        self._put = redis.register_script(PUT)
        self._remove = redis.register_script(REMOVE)
        self._settle = redis.register_script(SETTLE)

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
        sha256 = hashlib.sha256(content).hexdigest()
        listing = self._keys.thread_files(tenant, thread_id)
        for _ in range(_TRIES):
            kept = named(
                await self.of_thread(thread_id, tenant=tenant) if origin is Origin.UPLOAD else [],
                described(
                    name=name,
                    media_type=media_type,
                    sha256=sha256,
                    size=len(content),
                    thread_id=thread_id,
                    run_id=run_id,
                    origin=origin,
                ),
            )
            reply, *said = await self._put(
                keys=[
                    listing,
                    self._keys.thread_file(tenant, thread_id, sha256),
                    self._keys.thread_record(tenant, thread_id),
                ],
                args=[
                    kept.artifact_id,
                    _stored(kept),
                    content,
                    kept.bytes,
                    self._limits.thread_files,
                    self._limits.thread_bytes,
                    self._limits.run_files,
                    self._keys.thread_file(tenant, thread_id, ""),
                    TEMPORARY_SECONDS,
                ],
            )
            match reply:
                case b"ok":
                    return _of_stored(said[0], kept.artifact_id, thread_id)
                case b"taken":
                    continue
                case _:
                    raise refused(reply.decode(), limits=self._limits)
        raise ArtifactError(f"{kept.name}: too many files come in under that name at once")

    async def get(self, artifact_id: str, *, tenant: str) -> tuple[Kept, bytes] | None:
        thread_id = naming.thread_of(artifact_id)
        if thread_id is None:
            return None
        stored = await cast(
            "Any", self._redis.hget(self._keys.thread_files(tenant, thread_id), artifact_id)
        )
        if stored is None:
            return None
        kept = _of_stored(stored, artifact_id, thread_id)
        name = self._keys.thread_file(tenant, thread_id, kept.sha256)
        content = cast("bytes | None", await self._redis.get(name))
        return None if content is None else (kept, content)

    async def of_thread(
        self, thread_id: str, *, tenant: str, origin: Origin | None = None
    ) -> list[Kept]:
        listing = self._keys.thread_files(tenant, thread_id)
        # By a script: these go together, and every run asks several times.
        left, words = await self._list(keys=[listing])
        if left >= 0:
            await self._settle(
                keys=[listing, self._keys.thread_record(tenant, thread_id)],
                args=[self._keys.thread_file(tenant, thread_id, "")],
            )
        pairs = zip(words[::2], words[1::2], strict=True)
        files = [_of_stored(stored, word.decode(), thread_id) for word, stored in pairs]
        return ordered(files, origin=origin)

    async def remove(self, artifact_id: str, *, tenant: str) -> bool:
        thread_id = naming.thread_of(artifact_id)
        if thread_id is None:
            return False
        reply = await self._remove(
            keys=[self._keys.thread_files(tenant, thread_id)],
            args=[artifact_id, self._keys.thread_file(tenant, thread_id, "")],
        )
        return bool(reply)

    async def drop(self, thread_id: str, *, tenant: str) -> None:
        for kept in await self.of_thread(thread_id, tenant=tenant):
            await self._redis.delete(self._keys.thread_file(tenant, thread_id, kept.sha256))
        # Last, so that a death in between leaves the names of what is still there.
        await self._redis.delete(self._keys.thread_files(tenant, thread_id))

    async def copy(self, thread_id: str, *, to: str, tenant: str) -> None:
        await copied(self, thread_id, to=to, tenant=tenant)


async def copied(files: ThreadFiles, thread_id: str, *, to: str, tenant: str) -> None:
    """Put each file of a thread into another one."""
    for kept in await files.of_thread(thread_id, tenant=tenant):
        found = await files.get(kept.artifact_id, tenant=tenant)
        if found is not None:
            await files.put(
                found[1],
                name=kept.name,
                media_type=kept.media_type,
                tenant=tenant,
                thread_id=to,
                run_id=kept.run_id,
                origin=kept.origin,
            )


def fits(content: bytes, *, limits: FileLimits) -> None:
    """Raises ArtifactError."""
    if len(content) > limits.file_bytes:
        raise ArtifactError(
            f"the file has {len(content):,} bytes; {limits.file_bytes:,} at most are kept"
            " (setting files.file_mib)"
        )


def refused(why: str, *, limits: FileLimits) -> ArtifactError:
    """What a refusal says, by its word."""
    match why:
        case "files":
            said = f"the thread has {limits.thread_files} files already (setting files.per_thread)"
        case "bytes":
            said = (
                f"the thread's files would have more than {limits.thread_bytes:,} bytes"
                " (setting files.thread_mib)"
            )
        case _:
            said = f"the run has kept {limits.run_files} files already (setting files.per_run)"
            return ArtifactError(said)
    return ArtifactError(f"{said}; DELETE /threads/THREAD/files/FILE makes room")


def described(
    *,
    name: str,
    media_type: str,
    sha256: str,
    size: int,
    thread_id: str,
    run_id: str | None,
    origin: Origin,
) -> Kept:
    """A file as it would be kept, under its own name made safe."""
    safe = naming.safe_name(name) if origin is Origin.UPLOAD else naming.safe_path(name)
    return Kept(
        artifact_id=naming.artifact_id(
            thread_id=thread_id, origin=origin, name=safe, sha256=sha256
        ),
        name=safe,
        media_type=naming.safe_media_type(media_type),
        sha256=sha256,
        bytes=size,
        thread_id=thread_id,
        run_id=run_id,
        origin=origin,
        created_at=datetime.now(UTC),
    )


def named(there: Sequence[Kept], wanted: Kept) -> Kept:
    """The file under the first name that no other content has among those that are there."""
    taken: dict[str, Kept] = {one.name.casefold(): one for one in there}
    for name in naming.candidates(wanted.name):
        other = taken.get(name.casefold())
        if other is not None and not same(other, wanted):
            continue
        return described(
            name=name if other is None else other.name,
            media_type=wanted.media_type,
            sha256=wanted.sha256,
            size=wanted.bytes,
            thread_id=wanted.thread_id,
            run_id=wanted.run_id,
            origin=wanted.origin,
        )
    raise AssertionError("names never end")


def same(one: Kept, other: Kept) -> bool:
    """Whether two files of one name are one and the same."""
    return one.origin is other.origin and one.sha256 == other.sha256


def ordered(files: Sequence[Kept], *, origin: Origin | None) -> list[Kept]:
    """Those of an origin, oldest first."""
    found = [one for one in files if origin is None or one.origin is origin]
    return sorted(found, key=lambda one: (one.created_at, one.name))


def _stored(kept: Kept) -> bytes:
    return orjson.dumps(
        {
            "name": kept.name,
            "folded": kept.name.casefold(),
            "media_type": kept.media_type,
            "sha256": kept.sha256,
            "bytes": kept.bytes,
            "run_id": kept.run_id or "",
            "origin": kept.origin.value,
            "created_at": kept.created_at.isoformat(),
        }
    )


def _of_stored(stored: bytes, artifact_id: str, thread_id: str) -> Kept:
    read = orjson.loads(stored)
    return Kept(
        artifact_id=artifact_id,
        name=read["name"],
        media_type=read["media_type"],
        sha256=read["sha256"],
        bytes=read["bytes"],
        thread_id=thread_id,
        run_id=read["run_id"] or None,
        origin=Origin(read["origin"]),
        created_at=datetime.fromisoformat(read["created_at"]),
    )
