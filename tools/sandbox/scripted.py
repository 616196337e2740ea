"""A sandbox that runs nothing: answers from a script, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from tools.sandbox.sandbox import (
    Execution,
    FileEntry,
    Guarantee,
    Isolation,
    Limits,
    Listener,
    Outcome,
    Output,
    SandboxError,
    Session,
    checked_files,
    checked_path,
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a script that does more than end: it writes files, or waits to be interrupted."""

    execution: Execution
    files: Mapping[str, bytes] = field(default_factory=dict)
    hangs: bool = False


def finished(stdout: str = "", *, stderr: str = "", outputs: tuple[Output, ...] = ()) -> Execution:
    """A step of a script: code that ended well."""
    return Execution(
        stdout=stdout,
        stderr=stderr,
        outcome=Outcome.FINISHED,
        exit_code=0,
        seconds=0.0,
        outputs=outputs,
    )


def hanging() -> Step:
    """A step of a script: code that goes on until it is interrupted."""
    end = Execution(
        stdout="", stderr="KeyboardInterrupt\n", outcome=Outcome.INTERRUPTED, exit_code=1, seconds=0
    )
    return Step(execution=end, hangs=True)


def failed(stderr: str, *, stdout: str = "", exit_code: int = 1) -> Execution:
    """A step of a script: code that ended with an error."""
    return Execution(
        stdout=stdout, stderr=stderr, outcome=Outcome.FAILED, exit_code=exit_code, seconds=0.0
    )


class ScriptedSandbox:
    """Gives each execution the next step of its script and remembers the code.

    A run without a step left is an AssertionError; ``unused`` tells the steps nobody asked for.
    """

    def __init__(self, steps: Iterable[Execution | Step], *, limits: Limits | None = None) -> None:
        self._steps = [step if isinstance(step, Step) else Step(execution=step) for step in steps]
        self._limits = limits or Limits()
        self._sessions: list[ScriptedSession] = []
        self._closed = False
        self.ran: list[str] = []

    @property
    def unused(self) -> int:
        return len(self._steps)

    async def run(
        self,
        code: str,
        *,
        files: Mapping[str, bytes] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the seam
    ) -> Execution:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        checked_files(files, limit=self._limits.disk_bytes // 2)
        return self.next(code).execution

    async def create(self, *, files: Mapping[str, bytes] | None = None) -> Session:
        if self._closed:
            raise SandboxError("the sandbox is closed")
        session = ScriptedSession(self, limits=self._limits)
        await session.put(files or {})
        self._sessions.append(session)
        return session

    def next(self, code: str) -> Step:
        """The step for ``code``, within the output's cap."""
        if not self._steps:
            raise AssertionError(f"the script has no step left for: {code!r}")
        self.ran.append(code)
        whole = self._steps.pop(0)
        step = whole.execution
        cap = self._limits.output_bytes
        stdout, stderr = step.stdout[:cap], step.stderr[:cap]
        cut = (stdout, stderr) != (step.stdout, step.stderr)
        kept = replace(
            step, stdout=stdout, stderr=stderr, output_truncated=step.output_truncated or cut
        )
        return replace(whole, execution=kept)

    def describe(self) -> Isolation:
        return Isolation(
            kind="scripted",
            guarantees=(Guarantee(name="runs code", holds=False, detail="answers from a script"),),
        )

    async def close(self) -> None:
        self._closed = True
        for session in self._sessions:
            await session.close()


class ScriptedSession:
    """A session on a script: cells take the sandbox's steps, files lie in a mapping."""

    def __init__(self, sandbox: ScriptedSandbox, *, limits: Limits) -> None:
        self._sandbox = sandbox
        self._limits = limits
        self._files: dict[str, tuple[bytes, int]] = {}
        self._turn = asyncio.Lock()
        self._interrupted: asyncio.Event | None = None
        self._writes = 0
        self._closed = False

    async def run(
        self,
        code: str,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - part of the seam
        listener: Listener | None = None,
    ) -> Execution:
        del timeout
        if len(code.encode()) > self._limits.disk_bytes // 2:
            raise ValueError("the code is too large")
        async with self._turn:
            self._check()
            step = self._sandbox.next(code)
            if step.hangs:
                self._interrupted = asyncio.Event()
                try:
                    await self._interrupted.wait()
                finally:
                    self._interrupted = None
            self._write(step.files)
            ended = step.execution
            told = listener or Listener()
            for text, tell in ((ended.stdout, told.stdout), (ended.stderr, told.stderr)):
                if text:
                    tell(text)
            for output in ended.outputs:
                told.output(output)
            return ended

    async def put(self, files: Mapping[str, bytes]) -> None:
        self._check()
        self._write(checked_files(files, limit=self._limits.disk_bytes // 2))

    async def get(self, path: str) -> bytes:
        self._check()
        name = checked_path(path)
        if name not in self._files:
            raise FileNotFoundError(f"no file {path!r} in the work folder")
        return self._files[name][0]

    async def files(self) -> tuple[FileEntry, ...]:
        self._check()
        return tuple(
            FileEntry(path=path, size=len(content), modified=modified)
            for path, (content, modified) in sorted(self._files.items())
        )

    async def interrupt(self) -> None:
        if self._interrupted is not None:
            self._interrupted.set()

    async def reset(self) -> None:
        self._check()

    async def close(self) -> None:
        self._closed = True

    def _write(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            self._writes += 1
            self._files[path] = (content, self._writes)

    def _check(self) -> None:
        if self._closed:
            raise SandboxError("the session is closed")
