"""Files of threads: one suite on Redis and on its twin."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.artifacts.memory import MemoryThreadFiles
from server.artifacts.store import FileLimits, Kept, Origin, RedisThreadFiles, ThreadFiles
from tools.artifacts import ArtifactError

TENANT = "default"
THREAD = str(uuid.UUID(int=7))
OTHER = "slack:C1:171.5"
LIMITS = FileLimits(file_bytes=100, run_files=3, thread_files=6, thread_bytes=250)

Made = Callable[[FileLimits], ThreadFiles]


@pytest.fixture(params=["redis", "memory"])
async def made(request: pytest.FixtureRequest, redis: Redis, keys: Keys) -> Made:
    """Both kinds."""
    if request.param == "memory":
        return lambda limits: MemoryThreadFiles(limits=limits)
    return lambda limits: RedisThreadFiles(redis, keys, limits=limits)


@pytest.fixture
def files(made: Made) -> ThreadFiles:
    return made(LIMITS)


async def put(
    files: ThreadFiles,
    content: bytes,
    name: str = "data.csv",
    *,
    origin: Origin = Origin.UPLOAD,
    run_id: str | None = None,
    thread_id: str = THREAD,
    tenant: str = TENANT,
) -> Kept:
    return await files.put(
        content,
        name=name,
        media_type="text/csv",
        tenant=tenant,
        thread_id=thread_id,
        run_id=run_id,
        origin=origin,
    )


async def test_a_file_comes_back_with_its_content(files: ThreadFiles) -> None:
    content = bytes(range(100))
    kept = await put(files, content, origin=Origin.RUN, run_id="r1")
    assert await files.get(kept.artifact_id, tenant=TENANT) == (kept, content)
    assert (kept.name, kept.media_type, kept.bytes) == ("data.csv", "text/csv", 100)
    assert (kept.thread_id, kept.run_id, kept.origin) == (THREAD, "r1", Origin.RUN)


async def test_the_same_again_is_the_same_file(files: ThreadFiles) -> None:
    kept = await put(files, b"a")
    assert await put(files, b"a") == kept
    assert await files.of_thread(THREAD, tenant=TENANT) == [kept]


async def test_another_content_under_a_taken_name_gets_a_number(files: ThreadFiles) -> None:
    first = await put(files, b"a")
    second = await put(files, b"b", "DATA.csv")
    again = await put(files, b"b", "DATA.csv")
    assert (first.name, second.name) == ("data.csv", "DATA-2.csv")
    assert again == second


async def test_an_upload_takes_no_name_of_a_runs_file(files: ThreadFiles) -> None:
    await put(files, b"a", "chart.png", origin=Origin.RUN, run_id="r1")
    assert (await put(files, b"a", "chart.png")).name == "chart-2.png"


async def test_a_run_may_write_a_name_again(files: ThreadFiles) -> None:
    first = await put(files, b"a", "out/chart.png", origin=Origin.RUN, run_id="r1")
    second = await put(files, b"b", "out/chart.png", origin=Origin.RUN, run_id="r2")
    assert first.name == second.name == "out/chart.png"
    assert first.artifact_id != second.artifact_id


async def test_uploads_at_the_same_time_under_one_name_are_all_kept(files: ThreadFiles) -> None:
    kept = await asyncio.gather(*(put(files, bytes([n])) for n in range(5)))
    assert {one.name for one in kept} == {"data.csv", *(f"data-{n}.csv" for n in range(2, 6))}


async def test_files_are_listed_oldest_first_and_by_origin(files: ThreadFiles) -> None:
    first = await put(files, b"a", "b.csv")
    second = await put(files, b"b", "a.csv", origin=Origin.RUN, run_id="r1")
    assert await files.of_thread(THREAD, tenant=TENANT) == [first, second]
    assert await files.of_thread(THREAD, tenant=TENANT, origin=Origin.RUN) == [second]
    assert await files.of_thread(OTHER, tenant=TENANT) == []


async def test_another_tenants_files_are_not_there(files: ThreadFiles) -> None:
    kept = await put(files, b"secret")
    assert await files.get(kept.artifact_id, tenant="other") is None
    assert not await files.remove(kept.artifact_id, tenant="other")
    assert await files.of_thread(THREAD, tenant="other") == []
    await files.drop(THREAD, tenant="other")
    assert await files.get(kept.artifact_id, tenant=TENANT) is not None


async def test_what_is_no_id_finds_nothing(files: ThreadFiles) -> None:
    for wrong in ("", "x", "u.", "t====.aaaaaaaaaaaaaaaaaaaaaa", "u" + "a" * 500):
        assert await files.get(wrong, tenant=TENANT) is None
        assert not await files.remove(wrong, tenant=TENANT)


async def test_a_file_that_is_too_large_is_refused(files: ThreadFiles) -> None:
    with pytest.raises(ArtifactError, match=r"101 bytes; 100 at most .*files\.file_mib"):
        await put(files, bytes(101))


async def test_a_thread_has_so_many_bytes(files: ThreadFiles) -> None:
    kept = await put(files, b"a" * 100, "a")
    await put(files, b"b" * 100, "b")
    await put(files, b"b" * 100, "the same content counts once")
    with pytest.raises(ArtifactError, match=r"250 bytes .*files\.thread_mib"):
        await put(files, b"c" * 100, "c")
    await files.remove(kept.artifact_id, tenant=TENANT)
    await put(files, b"c" * 100, "c")


async def test_a_thread_has_so_many_files(files: ThreadFiles) -> None:
    for n in range(6):
        await put(files, b"a", str(n))
    with pytest.raises(ArtifactError, match=r"has 6 files already .*files\.per_thread"):
        await put(files, b"a", "one more")
    await put(files, b"a", "5")


async def test_a_run_has_so_many_files(files: ThreadFiles) -> None:
    for n in range(3):
        await put(files, b"a", str(n), origin=Origin.RUN, run_id="r1")
    with pytest.raises(ArtifactError, match=r"kept 3 files already .*files\.per_run"):
        await put(files, b"a", "3", origin=Origin.RUN, run_id="r1")
    await put(files, b"a", "3", origin=Origin.RUN, run_id="r2")


async def test_what_is_removed_is_gone_and_what_shares_its_content_is_not(
    files: ThreadFiles,
) -> None:
    one, other = await put(files, b"a", "a"), await put(files, b"a", "b")
    assert await files.remove(one.artifact_id, tenant=TENANT)
    assert not await files.remove(one.artifact_id, tenant=TENANT)
    assert await files.get(one.artifact_id, tenant=TENANT) is None
    assert await files.get(other.artifact_id, tenant=TENANT) == (other, b"a")


async def test_a_thread_that_goes_takes_its_files_with_it(
    files: ThreadFiles, redis: Redis, keys: Keys
) -> None:
    kept = await put(files, b"a")
    elsewhere = await put(files, b"a", thread_id=OTHER)
    await files.drop(THREAD, tenant=TENANT)
    await files.drop(THREAD, tenant=TENANT)
    assert await files.get(kept.artifact_id, tenant=TENANT) is None
    assert await files.get(elsewhere.artifact_id, tenant=TENANT) == (elsewhere, b"a")
    left = [key async for key in redis.scan_iter(keys.thread(TENANT, THREAD) + "file*")]
    assert left == []


async def test_a_copy_has_the_files_under_ids_of_its_own(files: ThreadFiles) -> None:
    kept = await put(files, b"a")
    await files.copy(THREAD, to=OTHER, tenant=TENANT)
    [copy] = await files.of_thread(OTHER, tenant=TENANT)
    assert (copy.name, copy.sha256) == (kept.name, kept.sha256)
    assert copy.artifact_id != kept.artifact_id
    await files.drop(THREAD, tenant=TENANT)
    assert await files.get(copy.artifact_id, tenant=TENANT) == (copy, b"a")
