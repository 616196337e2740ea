"""One memory budget for a whole execution: a control group where one can be had, else a watch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.sandbox.sandbox import Limits

CGROUPS = Path("/sys/fs/cgroup")
WATCH_SECONDS = 0.02
# What the kernel spends on an empty file in a folder of memory (inode and name), rounded up.
FILE_BYTES = 1024
_NAME = "counterpoint-sandbox"
# File with the limit, file that counts out-of-memory kills; both versions of control groups.
_FILES = (("memory.max", "memory.events"), ("memory.limit_in_bytes", "memory.oom_control"))


class ControlGroup:
    """The groups of one execution: memory, and the number of processes where that is possible."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    def enter(self, process: int) -> None:
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(process), "ascii")

    def kills(self) -> int:
        """How often the kernel had to kill in this group."""
        for folder in self._folders:
            for _, events in _FILES:
                with contextlib.suppress(OSError):
                    kills = re.search(
                        r"^oom_kill (\d+)$", (folder / events).read_text("ascii"), re.M
                    )
                    if kills:
                        return int(kills[1])
        return 0

    async def close(self) -> None:
        """Remove the groups; the kernel needs a moment after the last process."""
        for folder in self._folders:
            for _ in range(500):
                try:
                    folder.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    await asyncio.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class ControlGroups:
    """Where this process may make groups of its own."""

    parents: tuple[Path, ...]

    def open(self, name: str, *, limits: Limits) -> ControlGroup:
        """A new group with its limits set.

        Raises:
            OSError: the group cannot be made.
        """
        folders: list[Path] = []
        group = ControlGroup(())
        try:
            for parent in self.parents:
                folder = parent / f"{_NAME}-{os.getpid()}-{name}"
                folder.mkdir()
                folders.append(folder)
                group = ControlGroup(tuple(folders))
                _limit(folder, limits)
        except OSError:
            for folder in folders:
                folder.rmdir()
            raise
        return group


def _limit(folder: Path, limits: Limits) -> None:
    values: Mapping[str, int] = {
        "memory.max": limits.memory_bytes,
        "memory.swap.max": 0,
        "memory.oom.group": 1,
        "memory.limit_in_bytes": limits.memory_bytes,
        "memory.memsw.limit_in_bytes": limits.memory_bytes,
        # The two processes of bubblewrap count here.
        "pids.max": limits.processes + 2,
    }
    for name, value in values.items():
        if (folder / name).exists():
            (folder / name).write_text(str(value), "ascii")


def find_control_groups(limits: Limits) -> ControlGroups | None:
    """Groups below our own, if making one with a memory limit works; leftovers are swept."""
    memory: Path | None = None
    others: list[Path] = []
    try:
        lines = Path("/proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            memory = CGROUPS / "memory" / path.lstrip("/")
        elif controllers == "pids":
            others.append(CGROUPS / "pids" / path.lstrip("/"))
        elif controllers == "" and memory is None:
            memory = CGROUPS / path.lstrip("/")
    for parents in ((memory, *others), (memory,)):
        if parents[0] is None:
            continue
        groups = ControlGroups(parents=tuple(parent for parent in parents if parent is not None))
        _sweep(groups)
        if _works(groups, limits):
            return groups
    return None


def _works(groups: ControlGroups, limits: Limits) -> bool:
    try:
        group = groups.open("probe", limits=limits)
    except OSError:
        return False
    folder = groups.parents[0] / f"{_NAME}-{os.getpid()}-probe"
    held = any((folder / name).exists() for name, _ in _FILES)
    for parent in groups.parents:
        (parent / folder.name).rmdir()
    del group
    return held


def _sweep(groups: ControlGroups) -> None:
    """Groups of a server that was killed are empty, and its process is gone."""
    for parent in groups.parents:
        with contextlib.suppress(OSError):
            for folder in parent.glob(f"{_NAME}-*-*"):
                owner = folder.name.split("-")[2]
                if not Path("/proc", owner).exists():
                    with contextlib.suppress(OSError):
                        folder.rmdir()


def can_watch() -> bool:
    """Whether the kernel lists a process's children (CONFIG_PROC_CHILDREN)."""
    return Path(f"/proc/self/task/{os.getpid()}/children").exists()


def descendants(process: int) -> Iterator[int]:
    """``process`` and everything below it; a process that ends meanwhile is left out."""
    waiting = [process]
    while waiting:
        current = waiting.pop()
        yield current
        with contextlib.suppress(OSError):
            for task in os.scandir(f"/proc/{current}/task"):
                children = Path(task.path, "children").read_text("ascii")
                waiting += [int(child) for child in children.split()]


def memory_of(process: int, *, exact: bool) -> int:
    """Bytes that the process holds in memory, without files of the system.

    Memory that a fork shares counts for each process, unless ``exact``, which takes longer.
    """
    if exact:
        with contextlib.suppress(OSError):
            return _kibibytes(f"/proc/{process}/smaps_rollup", r"Pss_(?:Anon|Shmem)")
    with contextlib.suppress(OSError):
        return _kibibytes(f"/proc/{process}/status", r"Rss(?:Anon|Shmem)")
    return 0


def _kibibytes(path: str, fields: str) -> int:
    text = Path(path).read_text("utf-8", "replace")
    return 1024 * sum(int(number) for number in re.findall(rf"^{fields}:\s+(\d+)", text, re.M))


def memory_of_folders(process: int, folders: tuple[str, ...]) -> int:
    """Bytes in folders of memory that ``process`` sees, with the kernel's share of each file."""
    total = 0
    root = f"/proc/{process}/root"
    for folder in folders:
        with contextlib.suppress(OSError):
            if os.path.samefile(root, "/"):  # noqa: PTH121 - says what it asks
                # Not yet in folders of its own.
                return 0
            state = os.statvfs(f"/proc/{process}/root{folder}")
            total += (state.f_blocks - state.f_bfree) * state.f_frsize
            total += (state.f_files - state.f_ffree) * FILE_BYTES
    return total


async def exceeded(process: int, *, limit: int, folders: tuple[str, ...]) -> None:
    """Return as soon as the tree below ``process``, its first one, holds over ``limit`` bytes."""
    held = 0
    while held <= limit:
        await asyncio.sleep(WATCH_SECONDS)
        for exact in (False, True):
            held = memory_of_folders(process, folders)
            held += sum(memory_of(each, exact=exact) for each in descendants(process))
            if held <= limit:
                break
