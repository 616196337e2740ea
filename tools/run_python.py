"""The tool `run_python`: a model's own code, run in the sandbox and nowhere else."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from tools.sandbox.sandbox import Execution, Outcome, Sandbox, SandboxError
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult

NAME = "run_python"
DESCRIPTION = "Python 3, standard library; print() what you want to see"
CODE_LENGTH = 1500
CONTENT_LENGTH = 2000


class RunPython(BaseModel):
    """Arguments of `run_python`."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(min_length=1, max_length=CODE_LENGTH, description=DESCRIPTION)


def run_python(sandbox: Sandbox) -> Tool:
    """The tool on an open sandbox."""

    async def call(arguments: RunPython, context: ToolContext) -> ToolResult:
        try:
            execution = await sandbox.run(arguments.code)
        except (SandboxError, ValueError) as error:
            raise ToolError(f"The code could not be run: {error}") from error
        return ToolResult(
            content=told(execution),
            ok=execution.outcome is Outcome.FINISHED,
            data={
                "code": arguments.code,
                "stdout": execution.stdout,
                "outcome": execution.outcome.value,
                "seconds": round(execution.seconds, 3),
            },
        )

    return _tool(call)


def unavailable(reason: str, *, remedy: str = "") -> Tool:
    """The same tool where no sandbox is to be had: each call says so, and nothing runs."""

    async def call(arguments: RunPython, context: ToolContext) -> ToolResult:
        how = f" An operator can change that: {remedy}." if remedy else ""
        raise ToolError(
            f"Code cannot run here: {reason}.{how} Answer without running code, and say that "
            "the result was not computed."
        )

    return _tool(call)


def _tool(call: object) -> Tool:
    return Tool(
        name=NAME,
        description=f"Run Python code in a sandbox without network or files. {DESCRIPTION}.",
        parameters=RunPython,
        effect=Effect.READS,
        call=call,  # type: ignore[arg-type]
    )


def told(execution: Execution) -> str:
    """What the model reads of an execution, ``CONTENT_LENGTH`` characters at most."""
    parts = [part.rstrip("\n") for part in (execution.stdout, execution.stderr) if part.strip()]
    text = "\n".join(parts)
    note = ending(execution)
    if not text:
        return note or "The code ended without printing anything; print() the result."
    return _shortened(text, to=CONTENT_LENGTH - len(note) - 1) + (f"\n{note}" if note else "")


def ending(execution: Execution) -> str:
    """A note on how it ended; empty where there is nothing to say."""
    match execution.outcome:
        case Outcome.FINISHED:
            return "[output was cut]" if execution.output_truncated else ""
        case Outcome.FAILED:
            return f"[failed with exit code {execution.exit_code}]"
        case Outcome.TIMED_OUT:
            return f"[stopped after {execution.seconds:.0f} s: the time limit]"
        case Outcome.OUT_OF_MEMORY:
            return "[stopped: out of memory]"
        case Outcome.KILLED:
            return "[the process was killed or crashed]"


def _shortened(text: str, *, to: int) -> str:
    """The beginning and, where errors stand, the end."""
    if len(text) <= to:
        return text
    mark = f"\n[... {len(text):,} characters in all, the middle left out ...]\n"
    room = to - len(mark)
    tail = room // 3
    return text[: room - tail] + mark + text[len(text) - tail :]
