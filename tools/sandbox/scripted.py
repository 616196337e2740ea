"""A sandbox that runs nothing: answers from a script, for tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from tools.sandbox.sandbox import (
    Execution,
    Guarantee,
    Isolation,
    Limits,
    Outcome,
    SandboxError,
    checked_files,
)


def finished(stdout: str = "", *, stderr: str = "") -> Execution:
    """A step of a script: code that ended well."""
    return Execution(
        stdout=stdout, stderr=stderr, outcome=Outcome.FINISHED, exit_code=0, seconds=0.0
    )


def failed(stderr: str, *, stdout: str = "", exit_code: int = 1) -> Execution:
    """A step of a script: code that ended with an error."""
    return Execution(
        stdout=stdout, stderr=stderr, outcome=Outcome.FAILED, exit_code=exit_code, seconds=0.0
    )


class ScriptedSandbox:
    """Gives each execution the next step of its script and remembers the code.

    A run without a step left is an AssertionError; ``unused`` tells the steps nobody asked for.
    """

    def __init__(self, steps: Iterable[Execution], *, limits: Limits | None = None) -> None:
        self._steps = list(steps)
        self._limits = limits or Limits()
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
        if not self._steps:
            raise AssertionError(f"the script has no step left for: {code!r}")
        self.ran.append(code)
        step = self._steps.pop(0)
        cap = self._limits.output_bytes
        stdout, stderr = step.stdout[:cap], step.stderr[:cap]
        cut = (stdout, stderr) != (step.stdout, step.stderr)
        return replace(
            step, stdout=stdout, stderr=stderr, output_truncated=step.output_truncated or cut
        )

    def describe(self) -> Isolation:
        return Isolation(
            kind="scripted",
            guarantees=(Guarantee(name="runs code", holds=False, detail="answers from a script"),),
        )

    async def close(self) -> None:
        self._closed = True
