"""Files that a caller gives, put among a thread's files: all of one request, or none."""

from __future__ import annotations

import asyncio
import mimetypes
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from server.artifacts.naming import BYTES
from server.artifacts.store import Kept, Origin, ThreadFiles
from server.errors import Invalid
from server.runs.record import NotDurableError, RunRecord
from tools.artifacts import ArtifactError


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """A file as it came in; ``field`` is where it stood in the request."""

    name: str
    media_type: str
    content: bytes
    field: str


@dataclass(frozen=True, kw_only=True)
class Attached:
    """What a request's files became, in their order, and which of them were not there before."""

    kept: Sequence[Kept]
    new: Sequence[str]


async def attach(
    files: ThreadFiles, given: Sequence[Attachment], *, tenant: str, thread_id: str
) -> Attached:
    """Keep them all. Raises Invalid, which names the file, and keeps none."""
    before = {one.artifact_id for one in await files.of_thread(thread_id, tenant=tenant)}
    kept: list[Kept] = []
    for one in given:
        try:
            put = await files.put(
                one.content,
                name=one.name,
                media_type=media_type_of(one.name, given=one.media_type),
                tenant=tenant,
                thread_id=thread_id,
                run_id=None,
                origin=Origin.UPLOAD,
            )
        except ArtifactError as error:
            new = [one.artifact_id for one in kept if one.artifact_id not in before]
            await detach(files, new, tenant=tenant)
            raise Invalid(f"{one.field}: {one.name[:100]}: {error}", param=one.field) from None
        kept.append(put)
    new = [one.artifact_id for one in kept if one.artifact_id not in before]
    return Attached(kept=kept, new=new)


async def with_files(
    files: ThreadFiles,
    given: Sequence[Attachment],
    *,
    tenant: str,
    thread_id: str | None,
    create: Callable[[Sequence[str], str | None], Awaitable[RunRecord]],
) -> RunRecord:
    """Start a run on a thread that has the files; where it cannot be started, none is kept.

    ``create`` is given the files' names as they are kept, and the thread. Raises as it does, and
    Invalid.
    """
    if not given:
        return await create([], thread_id)
    place = thread_id or str(uuid.uuid4())
    done = await attach(files, given, tenant=tenant, thread_id=place)
    try:
        record = await create([one.name for one in done.kept], place)
    except NotDurableError:
        # It goes on.
        raise
    except BaseException:
        await asyncio.shield(detach(files, done.new, tenant=tenant))
        raise
    if record.thread_id != place:
        # The same request came before, and has its files.
        await detach(files, done.new, tenant=tenant)
        return record
    # The thread has a record now: a look keeps its files for as long.
    await files.of_thread(place, tenant=tenant)
    return record


async def detach(files: ThreadFiles, ids: Sequence[str], *, tenant: str) -> None:
    """Drop again what was put for a request that came to nothing."""
    for artifact_id in ids:
        await files.remove(artifact_id, tenant=tenant)


def media_type_of(name: str, *, given: str) -> str:
    """What a file is said to be; by its name where that says nothing."""
    told = given.partition(";")[0].strip().lower()
    return told if told not in {"", BYTES} else mimetypes.guess_type(name)[0] or BYTES
