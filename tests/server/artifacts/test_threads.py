"""Files live as long as their thread, and a copied thread has its own."""

from __future__ import annotations

from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import DEFAULT_TENANT, Keys
from graphs.saver import RedisSaver
from server.artifacts.store import TEMPORARY_SECONDS, Kept, Origin, RedisThreadFiles
from server.threads.records import RedisThreads


async def _kept(files: RedisThreadFiles, thread_id: str) -> Kept:
    return await files.put(
        b"a,b\n1,2\n",
        name="data.csv",
        media_type="text/csv",
        tenant=DEFAULT_TENANT,
        thread_id=thread_id,
        run_id=None,
        origin=Origin.UPLOAD,
    )


async def test_files_go_with_their_thread_and_not_with_its_copy(redis: Redis, keys: Keys) -> None:
    files = RedisThreadFiles(redis, keys)
    threads = RedisThreads(
        redis, keys, saver=RedisSaver(redis, keys), log=EventLog(redis, keys), files=files
    )
    thread = await threads.create()
    kept = await _kept(files, thread.thread_id)
    copy = await threads.copy(thread.thread_id)
    await threads.delete(thread.thread_id)
    assert await files.get(kept.artifact_id, tenant=DEFAULT_TENANT) is None
    [copied] = await files.of_thread(copy.thread_id, tenant=DEFAULT_TENANT)
    assert copied.name == kept.name
    await threads.delete(copy.thread_id)
    assert [key async for key in redis.scan_iter(f"{keys.prefix}thread:*")] == []


async def test_files_without_a_thread_expire_until_there_is_one(redis: Redis, keys: Keys) -> None:
    files = RedisThreadFiles(redis, keys)
    kept = await _kept(files, "t1")
    names = [
        keys.thread_files(DEFAULT_TENANT, "t1"),
        keys.thread_file(DEFAULT_TENANT, "t1", kept.sha256),
    ]
    assert await files.of_thread("t1", tenant=DEFAULT_TENANT) == [kept]
    assert all([0 < await redis.ttl(name) <= TEMPORARY_SECONDS for name in names])
    await redis.hset(keys.thread_record(DEFAULT_TENANT, "t1"), "status", "idle")
    assert await files.of_thread("t1", tenant=DEFAULT_TENANT) == [kept]
    assert [await redis.ttl(name) for name in names] == [-1, -1]
