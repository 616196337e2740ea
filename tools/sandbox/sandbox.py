"""Where code from a model runs: one isolated process tree per execution, nothing kept between two.

``Sandbox`` is the seam; ``BubblewrapSandbox`` is real, ``ScriptedSandbox`` its in-memory twin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Protocol

MEBIBYTE = 1024 * 1024


class SandboxError(Exception):
    """The sandbox itself failed (not the code in it); the message names the remedy."""


class Outcome(StrEnum):
    """How an execution came to its end."""

    FINISHED = "finished"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    KILLED = "killed"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one execution may use; sizes in bytes, ``seconds`` wall time.

    ``disk_bytes`` is the size of each writable folder: the work folder and ``/tmp``.
    ``output_bytes`` is kept of stdout and of stderr each; the rest is read and thrown away.
    """

    seconds: float = 10.0
    memory_bytes: int = 512 * MEBIBYTE
    processes: int = 64
    output_bytes: int = 64 * 1024
    disk_bytes: int = 64 * MEBIBYTE
    open_files: int = 256


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What came out of one run. ``exit_code`` is None when the tree was killed from outside."""

    stdout: str
    stderr: str
    outcome: Outcome
    exit_code: int | None
    seconds: float
    output_truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """One promise of isolation, and whether it holds on this machine."""

    name: str
    holds: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """What separates the code from this machine; ``kind`` names the implementation."""

    kind: str
    guarantees: tuple[Guarantee, ...]


class Sandbox(Protocol):
    """Runs Python that nobody has read."""

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - a limit of the run, not of the call
    ) -> Execution:
        """Run ``code`` in a fresh work folder that holds ``files`` (relative path to content).

        The value of a last expression is printed, as a notebook does. ``timeout`` in seconds
        shortens the sandbox's own limit, never lengthens it.

        Raises:
            ValueError: a file's path leaves the work folder, or the input is too large.
            SandboxError: the sandbox could not be started, or is closed.
        """
        ...

    def describe(self) -> Isolation:
        """What holds here."""
        ...

    async def close(self) -> None:
        """End every running execution; later calls of ``run`` raise ``SandboxError``."""
        ...


def checked_files(files: Mapping[str, bytes] | None, *, limit: int) -> dict[str, bytes]:
    """The files, with normal relative paths.

    Raises:
        ValueError: a path is absolute, empty, has ``..`` or a control character, or all
            together exceed ``limit`` bytes.
    """
    checked: dict[str, bytes] = {}
    for name, content in (files or {}).items():
        path = PurePosixPath(name)
        if not path.parts or path.is_absolute() or ".." in path.parts or not name.isprintable():
            raise ValueError(f"file name {name!r}: use a relative path inside the work folder")
        checked[str(path)] = content
    size = sum(len(content) for content in checked.values())
    if size > limit:
        raise ValueError(f"files of {size:,} bytes: the sandbox takes {limit:,} at most")
    return checked
