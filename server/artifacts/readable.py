"""Threads' files whose text documents are searchable: what is dropped of the one, goes of both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import cast

from redis.asyncio import Redis

from graphs.keys import Keys, thread_name
from server.artifacts import naming
from server.artifacts.store import Kept, Origin, ThreadFiles
from tools import thread_documents
from tools.retrieval.errors import RetrievalError
from tools.retrieval.knowledge import Knowledge

EVERY_SECONDS = 600.0
"""How often it is looked for texts whose files are gone."""

_log = logging.getLogger(__name__)


class ReadableFiles:
    """``files``, of which some are in ``knowledge`` as well; see ``ThreadFiles``.

    Which threads have documents is written down, so that ``sweep`` finds what a death, a store
    that was away, or files that were kept for an hour have left.
    """

    def __init__(
        self, files: ThreadFiles, *, knowledge: Knowledge, redis: Redis, keys: Keys
    ) -> None:
        self._files = files
        self._knowledge = knowledge
        self._redis = redis
        self._name = keys.threads_reading

    async def add(self, *, tenant: str, thread_id: str) -> None:
        """See ``tools.thread_documents.Notes``."""
        await self._redis.sadd(self._name, thread_name(tenant, thread_id))

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
        return await self._files.put(
            content,
            name=name,
            media_type=media_type,
            tenant=tenant,
            thread_id=thread_id,
            run_id=run_id,
            origin=origin,
        )

    async def get(self, artifact_id: str, *, tenant: str) -> tuple[Kept, bytes] | None:
        return await self._files.get(artifact_id, tenant=tenant)

    async def of_thread(
        self, thread_id: str, *, tenant: str, origin: Origin | None = None
    ) -> list[Kept]:
        return await self._files.of_thread(thread_id, tenant=tenant, origin=origin)

    async def remove(self, artifact_id: str, *, tenant: str) -> bool:
        there = await self._files.remove(artifact_id, tenant=tenant)
        thread_id = naming.thread_of(artifact_id)
        if there and thread_id is not None and await self._has(tenant, thread_id):
            try:
                await self._knowledge.delete(
                    artifact_id,
                    tenant=tenant,
                    collection=thread_documents.collection_of(thread_id),
                )
            except RetrievalError as error:
                _log.warning("a file's text is taken out later: %s", error)
        return there

    async def drop(self, thread_id: str, *, tenant: str) -> None:
        await self._files.drop(thread_id, tenant=tenant)
        if await self._has(tenant, thread_id):
            try:
                await self._forget(tenant, thread_id)
            except RetrievalError as error:
                _log.warning("a thread's documents are taken out later: %s", error)

    async def copy(self, thread_id: str, *, to: str, tenant: str) -> None:
        # The other thread's documents are read when they are first looked for.
        await self._files.copy(thread_id, to=to, tenant=tenant)

    async def sweep(self) -> int:
        """Take out documents whose files are gone; replies how many threads had any."""
        found = 0
        for member in sorted(cast("set[bytes]", await self._redis.smembers(self._name))):
            tenant, _, thread_id = member.decode().rpartition(":")
            there = await self._files.of_thread(thread_id, tenant=tenant, origin=Origin.UPLOAD)
            found += await self._left(tenant, thread_id, there)
        return found

    async def _left(self, tenant: str, thread_id: str, there: Sequence[Kept]) -> bool:
        if not there:
            await self._forget(tenant, thread_id)
            return True
        collection = thread_documents.collection_of(thread_id)
        ids = {one.artifact_id for one in there}
        documents = self._knowledge.documents(tenant=tenant, collection=collection)
        gone = [one.document_id async for one in documents if one.document_id not in ids]
        for document_id in gone:
            await self._knowledge.delete(document_id, tenant=tenant, collection=collection)
        return bool(gone)

    async def _has(self, tenant: str, thread_id: str) -> bool:
        return bool(await self._redis.sismember(self._name, thread_name(tenant, thread_id)))

    async def _forget(self, tenant: str, thread_id: str) -> None:
        await thread_documents.drop(self._knowledge, tenant=tenant, thread_id=thread_id)
        await self._redis.srem(self._name, thread_name(tenant, thread_id))


def collection_of(document_id: str) -> str | None:
    """Where a document is that is a thread's file; None for the id of any other."""
    thread_id = naming.thread_of(document_id)
    return None if thread_id is None else thread_documents.collection_of(thread_id)
