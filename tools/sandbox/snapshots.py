"""Files of sessions that were put to sleep, until somebody goes on with them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import struct
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from tools.sandbox.sandbox import MEBIBYTE

_ENTRY = struct.Struct(">HQ")
_SUFFIX = ".files"
_MOST = 4_000


class Snapshots(Protocol):
    """Keeps a session's files under its key; the oldest go where there are too many bytes."""

    async def save(self, key: str, files: Mapping[str, bytes]) -> None:
        """Keep these in place of what was kept. Raises OSError."""
        ...

    async def load(self, key: str) -> dict[str, bytes]:
        """What was kept; empty where nothing is. Raises OSError."""
        ...

    async def drop(self, key: str) -> None:
        """Forget it. Raises OSError."""
        ...


class MemorySnapshots:
    """Snapshots in memory."""

    def __init__(self, *, limit: int = 256 * MEBIBYTE) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, dict[str, bytes]] = OrderedDict()

    async def save(self, key: str, files: Mapping[str, bytes]) -> None:
        self._kept.pop(key, None)
        if files:
            self._kept[key] = dict(files)
        while self._kept and self._size() > self._limit:
            self._kept.popitem(last=False)

    async def load(self, key: str) -> dict[str, bytes]:
        return dict(self._kept.get(key, {}))

    async def drop(self, key: str) -> None:
        self._kept.pop(key, None)

    def _size(self) -> int:
        return sum(len(one) for files in self._kept.values() for one in files.values())


class FolderSnapshots:
    """Snapshots as one file each in a folder of ours."""

    def __init__(self, folder: Path, *, limit: int = 1024 * MEBIBYTE) -> None:
        self._folder = folder
        self._limit = limit
        self._turn = asyncio.Lock()

    async def save(self, key: str, files: Mapping[str, bytes]) -> None:
        async with self._turn:
            await asyncio.to_thread(self._save, key, files)

    async def load(self, key: str) -> dict[str, bytes]:
        async with self._turn:
            return await asyncio.to_thread(self._load, key)

    async def drop(self, key: str) -> None:
        async with self._turn:
            await asyncio.to_thread(self._path(key).unlink, missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / (hashlib.sha256(key.encode()).hexdigest() + _SUFFIX)

    def _save(self, key: str, files: Mapping[str, bytes]) -> None:
        path = self._path(key)
        if not files:
            path.unlink(missing_ok=True)
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        with part.open("wb") as file:
            for name, content in files.items():
                words = name.encode()
                file.write(_ENTRY.pack(len(words), len(content)))
                file.write(words)
                file.write(content)
        os.replace(part, path)  # noqa: PTH105 - says what it does
        self._sweep()

    def _load(self, key: str) -> dict[str, bytes]:
        files: dict[str, bytes] = {}
        with contextlib.suppress(FileNotFoundError), self._path(key).open("rb") as file:
            while len(head := file.read(_ENTRY.size)) == _ENTRY.size:
                words, size = _ENTRY.unpack(head)
                name = file.read(words).decode()
                files[name] = file.read(size)
        return files

    def _sweep(self) -> None:
        """The oldest go until the rest fits; ``_MOST`` stay."""
        states = [(path, path.stat()) for path in self._folder.glob("*" + _SUFFIX)]
        total = sum(state.st_size for _, state in states)
        states.sort(key=lambda pair: pair[1].st_mtime_ns)
        for place, (path, state) in enumerate(states):
            if total <= self._limit and len(states) - place <= _MOST:
                return
            path.unlink(missing_ok=True)
            total -= state.st_size
