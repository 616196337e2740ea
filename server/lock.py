"""The data folder and its one owner: a lock that the system lets go of, however the owner ends."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

LOCK = "lock"
LIVE = "server.json"


class DataFolderUnusable(Exception):  # noqa: N818 - it says what is wrong
    """The data folder cannot be made or written; the message says why and what to do."""


class DataFolderBusy(Exception):  # noqa: N818 - it says what is wrong
    """Another Counterpoint owns the data folder; the message names it."""


@dataclass(frozen=True, kw_only=True)
class LiveServer:
    """A server that is ready: its process, its address, when it began (seconds since 1970)."""

    pid: int
    url: str
    started: float


def prepare(data_dir: Path) -> None:
    """Make the folder, for its owner alone. Raises DataFolderUnusable."""
    try:
        # One that was there keeps its mode: it may be a folder that is shared for a reason.
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=data_dir):
            pass
    except OSError as error:
        raise unusable(data_dir, error) from error


def unusable(path: Path, error: OSError) -> DataFolderUnusable:
    """What to say where the data folder, or a file in it, gives this error."""
    return DataFolderUnusable(
        f"data_dir: {path} cannot be used ({error.strerror or error}); choose another "
        "with --data-dir or COUNTERPOINT_DATA_DIR"
    )


@contextmanager
def owned(data_dir: Path) -> Iterator[None]:
    """Own the folder while the context is open. Raises DataFolderBusy, DataFolderUnusable."""
    prepare(data_dir)
    path = data_dir / LOCK
    try:
        # The descriptor is not inherited, so that no child holds the lock longer than we do.
        opened = path.open("a+")
    except OSError as error:
        raise unusable(path, error) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.fchmod(file.fileno(), 0o600)
        except BlockingIOError:
            file.seek(0)
            raise DataFolderBusy(_busy(data_dir, pid=file.read().strip())) from None
        except OSError as error:
            # Not every network file system has locks.
            raise unusable(path, error) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def owner(data_dir: Path) -> int | None:
    """The process that owns the folder; None where none does, or it has not said so yet.

    Raises DataFolderUnusable where this user may not look.
    """
    path = data_dir / LOCK
    try:
        opened = path.open()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unusable(path, error) from error
    with opened as file:
        try:
            # Shared, so that who looks at the same time is not taken for an owner.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            said = file.read().strip()
            return int(said) if said.isdecimal() else None
        except OSError as error:
            raise unusable(path, error) from error
    return None


def _busy(data_dir: Path, *, pid: str) -> str:
    live = announced(data_dir)
    who = f"process {pid}" if pid else "another process"
    if live is not None:
        return (
            f"{data_dir} is in use by the Counterpoint at {live.url} (process {live.pid}); talk "
            f"to it with --url {live.url}, or choose another folder with --data-dir"
        )
    return (
        f"{data_dir} is in use by another Counterpoint ({who}), which is starting or at work; "
        "wait for it, or choose another folder with --data-dir"
    )


@contextmanager
def announcement(data_dir: Path, live: LiveServer) -> Iterator[None]:
    """Tell other commands where the server is, while the context is open."""
    path = data_dir / LIVE
    fresh = path.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(asdict(live)))
    fresh.replace(path)
    try:
        yield
    finally:
        # Another API of this folder may have announced itself since.
        if _read(path) in {live, None}:
            path.unlink(missing_ok=True)


def announced(data_dir: Path) -> LiveServer | None:
    """The server that was announced, if its process is still there."""
    live = _read(data_dir / LIVE)
    with contextlib.suppress(OSError):
        if live is not None:
            os.kill(live.pid, 0)
            return live
    return None


def _read(path: Path) -> LiveServer | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return LiveServer(**json.loads(path.read_text()))
    return None
