"""Texts of a thread's files go when the files go, however that was."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from graphs.keys import DEFAULT_TENANT, Keys
from models.embedder import HashedEmbedder
from server.artifacts.keeping import KeptUploads
from server.artifacts.readable import ReadableFiles
from server.artifacts.store import Kept, Origin, RedisThreadFiles
from tools.retrieval.errors import StoreError
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.server_store import MEMORY, ServerStore
from tools.thread_documents import ThreadDocuments, collection_of


class Knowledge(LocalKnowledge):
    away = False

    async def delete(self, document_id: str, *, tenant: str, collection: str) -> bool:
        if self.away:
            raise StoreError("http://q: Qdrant does not answer")
        return await super().delete(document_id, tenant=tenant, collection=collection)


@pytest.fixture
async def knowledge() -> AsyncIterator[Knowledge]:
    embedder = HashedEmbedder(dimension=64)
    store = await ServerStore.open(MEMORY, embedder=embedder.name, dimension=embedder.dimension)
    yield Knowledge(store, embedder=embedder, parser=InlineParser())
    await store.close()


@pytest.fixture
def kept(redis: Redis, keys: Keys) -> RedisThreadFiles:
    return RedisThreadFiles(redis, keys)


@pytest.fixture
def files(redis: Redis, keys: Keys, kept: RedisThreadFiles, knowledge: Knowledge) -> ReadableFiles:
    return ReadableFiles(kept, knowledge=knowledge, redis=redis, keys=keys)


async def given(files: ReadableFiles, knowledge: Knowledge, *, thread: str = "t1") -> list[Kept]:
    made = [
        await files.put(
            f"# {name}\n\nWords of {name}.".encode(),
            name=name,
            media_type="text/markdown",
            tenant=DEFAULT_TENANT,
            thread_id=thread,
            run_id=None,
            origin=Origin.UPLOAD,
        )
        for name in ("a.md", "b.md")
    ]
    documents = ThreadDocuments(knowledge, KeptUploads(files), notes=files)
    await documents.ready(tenant=DEFAULT_TENANT, thread_id=thread)
    return made


async def read(knowledge: Knowledge, *, thread: str = "t1") -> set[str]:
    collection = collection_of(thread)
    found = knowledge.documents(tenant=DEFAULT_TENANT, collection=collection)
    return {one.source async for one in found}


async def test_a_file_that_is_removed_is_not_found_any_more(
    files: ReadableFiles, knowledge: Knowledge
) -> None:
    first, _ = await given(files, knowledge)
    assert not await files.remove(first.artifact_id, tenant="other")
    assert await read(knowledge) == {"a.md", "b.md"}
    assert await files.remove(first.artifact_id, tenant=DEFAULT_TENANT)
    assert await read(knowledge) == {"b.md"}


async def test_the_files_of_a_thread_that_is_gone_are_not_found_any_more(
    files: ReadableFiles, knowledge: Knowledge, redis: Redis, keys: Keys
) -> None:
    await given(files, knowledge)
    await given(files, knowledge, thread="t2")
    await files.drop("t1", tenant=DEFAULT_TENANT)
    assert await read(knowledge) == set()
    assert await read(knowledge, thread="t2") == {"a.md", "b.md"}
    assert await redis.smembers(keys.threads_reading) == {b"default:t2"}


async def test_a_store_that_is_away_loses_nothing_of_it(
    files: ReadableFiles, knowledge: Knowledge, redis: Redis, keys: Keys
) -> None:
    first, _ = await given(files, knowledge)
    await given(files, knowledge, thread="t2")
    knowledge.away = True
    assert await files.remove(first.artifact_id, tenant=DEFAULT_TENANT)
    await files.drop("t2", tenant=DEFAULT_TENANT)
    knowledge.away = False
    assert await files.sweep() == 2
    assert (await read(knowledge), await read(knowledge, thread="t2")) == ({"b.md"}, set())
    assert await files.sweep() == 0


async def test_files_that_were_kept_for_an_hour_leave_no_text(
    files: ReadableFiles, kept: RedisThreadFiles, knowledge: Knowledge, redis: Redis, keys: Keys
) -> None:
    await given(files, knowledge)
    # As Redis does when their time is over.
    await redis.delete(keys.thread_files(DEFAULT_TENANT, "t1"))
    assert await files.sweep() == 1
    assert await read(knowledge) == set()
    assert await kept.of_thread("t1", tenant=DEFAULT_TENANT) == []
    assert await redis.smembers(keys.threads_reading) == set()


async def test_a_thread_that_is_gone_while_its_text_is_read_leaves_none(
    files: ReadableFiles, knowledge: Knowledge, redis: Redis, keys: Keys
) -> None:
    class Slow(KeptUploads):
        async def read(self, upload_id: str, *, tenant: str) -> bytes | None:
            content = await super().read(upload_id, tenant=tenant)
            await files.drop("t1", tenant=tenant)
            return content

    await files.put(
        b"# A",
        name="a.md",
        media_type="text/markdown",
        tenant=DEFAULT_TENANT,
        thread_id="t1",
        run_id=None,
        origin=Origin.UPLOAD,
    )
    documents = ThreadDocuments(knowledge, Slow(files), notes=files)
    await documents.ready(tenant=DEFAULT_TENANT, thread_id="t1")
    assert await files.sweep() == 1
    assert await read(knowledge) == set()
