"""Where code from a model runs: isolated process trees, one for a single run or for a session.

``Sandbox`` is the seam; ``BubblewrapSandbox`` is real, ``ScriptedSandbox`` its in-memory twin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    INTERRUPTED = "interrupted"


class Variables(StrEnum):
    """What became of a session's variables with a cell; its files are there in any case."""

    KEPT = "kept"
    NEW = "new"
    """The cell began without those of earlier cells: the kernel before it had ended."""
    LOST = "lost"
    """The kernel ended with this cell; the next one begins anew."""


class OutputKind(StrEnum):
    """How an output came about."""

    RESULT = "result"
    """The value of the last expression."""
    DISPLAY = "display"
    """Shown on the way: ``display(x)``, or a figure."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """One rich output in up to four forms; an absent form is empty.

    ``html`` and ``svg`` are the guest's own words: to be shown in a sandboxed frame, or as an
    image, and nowhere else. ``left_out`` says which forms were too large, a line each.
    """

    kind: OutputKind
    text: str = ""
    html: str = ""
    svg: str = ""
    png: bytes = b""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """A regular file in a session's work folder; ``modified`` in nanoseconds of its clock."""

    path: str
    size: int
    modified: int


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
    """What came out of one run. ``exit_code`` is None when the tree was killed from outside.

    The traceback of an error, cut to the frames of the code itself, ends ``stderr``.
    ``outputs`` and ``variables`` are those of a session's cell.
    """

    stdout: str
    stderr: str
    outcome: Outcome
    exit_code: int | None
    seconds: float
    output_truncated: bool = False
    outputs: tuple[Output, ...] = ()
    variables: Variables = Variables.KEPT


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


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Who is told of a cell's output while it runs, in pieces, up to the sandbox's limits."""

    stdout: Callable[[str], None] = lambda text: None
    stderr: Callable[[str], None] = lambda text: None
    output: Callable[[Output], None] = lambda output: None


class Session(Protocol):
    """A notebook: cells share variables, and a work folder that outlives the kernel.

    One call at a time has effect; a second ``run`` waits for the first.
    """

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - a limit of the cell, not of the call
        listener: Listener | None = None,
    ) -> Execution:
        """Run a cell. At its time limit (``timeout`` seconds, never above the sandbox's own) it
        is interrupted, and killed where it does not heed that.

        Cancelled, it interrupts the cell as well.

        Raises:
            ValueError: the code is too large.
            SandboxError: no kernel could be started, or the session is closed.
        """
        ...

    async def put(self, files: Mapping[str, bytes]) -> None:
        """Write files (relative path to content) into the work folder.

        Raises:
            ValueError: a path leaves the work folder, or all together are too large.
            SandboxError: they could not be written, or the session is closed.
        """
        ...

    async def get(self, path: str) -> bytes:
        """A file's content.

        Raises:
            ValueError: the path leaves the work folder.
            FileNotFoundError: no regular file is there; a link is none.
            SandboxError: it is larger than the sandbox gives out, or the session is closed.
        """
        ...

    async def files(self) -> tuple[FileEntry, ...]:
        """Regular files in the work folder, by path; hidden ones, links and the rest left out."""
        ...

    async def interrupt(self) -> None:
        """Interrupt the running cell, if there is one: it ends as ``Outcome.INTERRUPTED``."""
        ...

    async def reset(self) -> None:
        """Drop all variables; the files stay."""
        ...

    async def close(self) -> None:
        """End everything and drop the files; may be called again."""
        ...


class Sandbox(Protocol):
    """Runs Python that nobody has read."""

    async def create(self, *, files: Mapping[str, bytes] | None = None) -> Session:
        """A new session whose work folder holds ``files``.

        Raises:
            ValueError: as ``Session.put``.
            SandboxError: the sandbox could not be started, or is closed.
        """
        ...

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
        """End every execution and session; later calls raise ``SandboxError``."""
        ...


def checked_path(name: str) -> str:
    """A normal relative path.

    Raises:
        ValueError: it is absolute, empty, has ``..`` or a control character.
    """
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts or not name.isprintable():
        raise ValueError(f"file name {name!r}: use a relative path inside the work folder")
    return str(path)


def checked_files(files: Mapping[str, bytes] | None, *, limit: int) -> dict[str, bytes]:
    """The files, with normal relative paths.

    Raises:
        ValueError: a path is absolute, empty, has ``..`` or a control character, or all
            together exceed ``limit`` bytes.
    """
    checked: dict[str, bytes] = {}
    for name, content in (files or {}).items():
        checked[checked_path(name)] = content
    size = sum(len(content) for content in checked.values())
    if size > limit:
        raise ValueError(f"files of {size:,} bytes: the sandbox takes {limit:,} at most")
    return checked
