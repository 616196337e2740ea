"""A guest's work folder, read from outside: by descriptor, so that it outlives the guest.

The folder is memory of the sandbox's own mount. Nothing is followed: each part of a path is opened
from the folder above it, and what is no regular file is not there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from tools.sandbox.sandbox import FileEntry, SandboxError, checked_path

FILES = 2_000
"""Most files listed."""
_SEEN = 20_000
_DEPTH = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class WorkFolder:
    """An open work folder; ``close`` lets its memory go once the guest is dead."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._open = True

    @classmethod
    def of(cls, process: int, path: str) -> WorkFolder:
        """``path`` as the process sees it.

        Raises:
            OSError: the process is gone, or its folders cannot be reached.
        """
        return cls(os.open(f"/proc/{process}/root{path}", _FOLDER & ~os.O_NOFOLLOW))

    def close(self) -> None:
        if self._open:
            self._open = False
            os.close(self._descriptor)

    def list(self) -> tuple[FileEntry, ...]:
        """Regular files by path, ``FILES`` at most; hidden ones and links left out."""
        found: list[FileEntry] = []
        for entry in self._walk():
            found.append(entry)
            if len(found) == FILES:
                break
        return tuple(sorted(found, key=lambda entry: entry.path))

    def read(self, name: str, *, limit: int) -> bytes:
        """A file's content.

        Raises:
            ValueError: the path leaves the folder.
            FileNotFoundError: no regular file is there.
            SandboxError: it is larger than ``limit``.
        """
        path = checked_path(name)
        *folders, last = path.split("/")
        opened: list[int] = []
        try:
            place = self._descriptor
            for folder in folders:
                place = os.open(folder, _FOLDER, dir_fd=place)
                opened.append(place)
            file = os.open(last, _FILE, dir_fd=place)
            opened.append(file)
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise FileNotFoundError(name)
            return _content(file, name=name, limit=limit)
        except OSError as error:
            raise FileNotFoundError(f"no file {name!r} in the work folder") from error
        finally:
            for descriptor in opened:
                os.close(descriptor)

    def _walk(self) -> Iterator[FileEntry]:
        seen = 0
        waiting = [("", 0)]
        while waiting:
            prefix, depth = waiting.pop()
            try:
                folder = self._folder(prefix)
            except OSError:
                continue
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        seen += 1
                        if seen > _SEEN:
                            return
                        path = f"{prefix}/{entry.name}" if prefix else entry.name
                        if entry.name.startswith(".") or not path.isprintable():
                            continue
                        if entry.is_dir(follow_symlinks=False) and depth < _DEPTH:
                            waiting.append((path, depth + 1))
                        elif entry.is_file(follow_symlinks=False):
                            try:
                                state = entry.stat(follow_symlinks=False)
                            except OSError:
                                continue
                            yield FileEntry(
                                path=path, size=state.st_size, modified=state.st_mtime_ns
                            )
            finally:
                os.close(folder)

    def _folder(self, path: str) -> int:
        place = os.dup(self._descriptor)
        for part in path.split("/") if path else ():
            try:
                below = os.open(part, _FOLDER, dir_fd=place)
            finally:
                os.close(place)
            place = below
        return place


def _content(file: int, *, name: str, limit: int) -> bytes:
    parts: list[bytes] = []
    left = limit + 1
    while left and (data := os.read(file, min(left, 1024 * 1024))):
        parts.append(data)
        left -= len(data)
    if not left:
        raise SandboxError(f"{name} is larger than {limit:,} bytes, the most that is given out")
    return b"".join(parts)
