"""Files of threads as the tools see them: one suite with the tools' own twins."""

from __future__ import annotations

import pytest

from server.artifacts.keeping import KeptUploads, RunArtifacts
from server.artifacts.memory import MemoryThreadFiles
from server.artifacts.store import FileLimits, Origin
from tools.artifacts import ArtifactError, Artifacts, MemoryArtifacts
from tools.tool import ToolContext
from tools.uploads import MemoryUploads, Uploads

CONTEXT = ToolContext(tenant="t", collection="c", run_id="r", call_id="1", thread_id="thread")


@pytest.fixture(params=["kept", "memory"])
def artifacts(request: pytest.FixtureRequest) -> Artifacts:
    if request.param == "memory":
        return MemoryArtifacts(limit=10)
    return RunArtifacts(MemoryThreadFiles(limits=FileLimits(file_bytes=10)))


async def test_what_a_tool_makes_is_kept_once(artifacts: Artifacts) -> None:
    made = [
        await artifacts.keep(b"png", name="a.png", media_type="image/png", context=CONTEXT)
        for _ in range(2)
    ]
    assert made[0] == made[1]
    assert (made[0].name, made[0].media_type, made[0].bytes) == ("a.png", "image/png", 3)
    assert set(made[0].as_json()) == {"id", "name", "media_type", "sha256", "bytes"}


async def test_what_is_too_large_is_refused(artifacts: Artifacts) -> None:
    with pytest.raises(ArtifactError, match="11"):
        await artifacts.keep(bytes(11), name="a", media_type="text/plain", context=CONTEXT)


@pytest.fixture(params=["kept", "memory"])
async def uploads(request: pytest.FixtureRequest) -> Uploads:
    """One file of one thread."""
    if request.param == "memory":
        return MemoryUploads({("t", "thread"): {"a.csv": b"1,2"}})
    files = MemoryThreadFiles()
    for name, origin in (("a.csv", Origin.UPLOAD), ("made.png", Origin.RUN)):
        await files.put(
            b"1,2",
            name=name,
            media_type="text/csv",
            tenant="t",
            thread_id="thread",
            run_id=None,
            origin=origin,
        )
    return KeptUploads(files)


async def test_a_threads_uploads_are_its_tenants_alone(uploads: Uploads) -> None:
    [one] = await uploads.of_thread("thread", tenant="t")
    assert (one.name, one.bytes) == ("a.csv", 3)
    assert await uploads.read(one.id, tenant="t") == b"1,2"
    assert await uploads.read(one.id, tenant="other") is None
    assert list(await uploads.of_thread("thread", tenant="other")) == []
    assert list(await uploads.of_thread("elsewhere", tenant="t")) == []
