"""A file that is still arriving: hashed while it grows, so that it can go on after any stop."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_CHUNK = 1024 * 1024


class OverlongError(Exception):
    """More bytes than the artifact has: whatever sends them, it is not the artifact."""


def sha256_of(path: Path) -> str:
    """The hash of a file, in hex; blocks for as long as reading it takes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class PartFile:
    """The first ``length`` of ``size`` bytes of a file, kept under a name of its own.

    Every source sends the same bytes, so any of them may go on where another one stopped.
    Blocks; call it in a thread.
    """

    def __init__(self, path: Path, *, size: int) -> None:
        self.path = path
        self.size = size
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        self.length = 0
        self._hash = hashlib.sha256()
        there = path.stat().st_size
        self.cut(there if there <= size else 0)

    def write(self, data: bytes) -> None:
        if self.length + len(data) > self.size:
            raise OverlongError
        self._file.write(data)
        self._hash.update(data)
        self.length += len(data)

    def cut(self, length: int) -> None:
        """Keep the first ``length`` bytes."""
        self._file.flush()
        self._file.truncate(length)
        self._file.seek(0)
        self._hash = hashlib.sha256()
        self.length = 0
        while self.length < length and (data := self._file.read(min(_CHUNK, length - self.length))):
            self._hash.update(data)
            self.length += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    @property
    def complete(self) -> bool:
        return self.length == self.size

    def close(self) -> None:
        """Put what is there on the disk; safe to call twice."""
        if not self._file.closed:
            with self._file:
                self._file.flush()
                os.fsync(self._file.fileno())
