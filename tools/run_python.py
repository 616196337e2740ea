"""The tool `run_python`: a model's own code, run in its thread's session and nowhere else."""

from __future__ import annotations

import hashlib
import mimetypes
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tools.artifacts import Artifact, ArtifactError, Artifacts, MemoryArtifacts
from tools.sandbox.sandbox import (
    MEBIBYTE,
    Execution,
    FileEntry,
    Outcome,
    Output,
    SandboxError,
    Session,
    Variables,
)
from tools.sandbox.threads import ThreadSessions, key_of
from tools.tool import Effect, Tool, ToolContext, ToolError, ToolResult
from tools.uploads import NoUploads, Uploads, lay

NAME = "run_python"
DESCRIPTION = "Python 3. Variables and files stay for the next call; print() what you want to see"
CODE_LENGTH = 4000
CONTENT_LENGTH = 2000
PRINTED_LENGTH = 16_000
FILES = 20
"""Most files of one call that are kept for people."""
FILE_BYTES = 16 * MEBIBYTE
CUT = "\n[...]\n"
"""Stands where the middle was left out of what counts as printed: no number of ours is in it."""
_FILES_NAMED = 5
_HALF_LAST = re.compile(r"[\w.,+-]{1,40}\Z")
_HALF_FIRST = re.compile(r"\A[\w.,+-]{1,40}")


class RunPython(BaseModel):
    """Arguments of `run_python`."""

    model_config = ConfigDict(extra="forbid")

    code: str = Field(min_length=1, max_length=CODE_LENGTH, description=DESCRIPTION)


def run_python(
    sessions: ThreadSessions,
    *,
    artifacts: Artifacts | None = None,
    uploads: Uploads | None = None,
    libraries: str = "",
) -> Tool:
    """The tool on open sessions; figures and files go to ``artifacts``, the thread's ``uploads``
    lie in the work folder. ``libraries`` says, in a phrase, what may be imported beside the
    standard library."""
    kept = artifacts if artifacts is not None else MemoryArtifacts(limit=0)
    given = uploads if uploads is not None else NoUploads()

    async def call(arguments: RunPython, context: ToolContext) -> ToolResult:
        try:
            async with sessions.held(session_key(context)) as held:
                session = held.session
                notes = await lay(
                    session,
                    given,
                    laid=held.laid,
                    tenant=context.tenant,
                    thread_id=context.thread_id,
                )
                before = set(await session.files())
                execution = await session.run(arguments.code)
                written = [entry for entry in await session.files() if entry not in before]
                files = await _files(session, written, artifacts=kept, context=context)
        except (SandboxError, ValueError) as error:
            raise ToolError(f"The code could not be run: {error}") from error
        outputs = [
            await _output(output, artifacts=kept, context=context) for output in execution.outputs
        ]
        if held.woken:
            notes.insert(0, "[this is a new session: earlier variables are gone]")
        note = "\n".join(notes)
        missing = _left_out(outputs, files)
        return ToolResult(
            content=told(
                execution, files=[entry.path for entry in written], before=note, after=missing
            ),
            ok=execution.outcome is Outcome.FINISHED,
            data={
                "code": arguments.code,
                "stdout": execution.stdout,
                "printed": _printed(execution),
                "outcome": execution.outcome.value,
                "seconds": round(execution.seconds, 3),
                "outputs": outputs,
                "files": files,
            },
        )

    return _tool(call, libraries=libraries)


def unavailable(reason: str, *, remedy: str = "") -> Tool:
    """The same tool where no sandbox is to be had: each call says so, and nothing runs."""

    async def call(arguments: RunPython, context: ToolContext) -> ToolResult:
        how = f" An operator can change that: {remedy}." if remedy else ""
        raise ToolError(
            f"Code cannot run here: {reason}.{how} Answer without running code, and say that "
            "the result was not computed.",
            own=True,
        )

    return _tool(call)


def session_key(context: ToolContext) -> str:
    """Whose session a call runs in: its thread's."""
    return key_of(context.tenant, context.thread_id or context.run_id)


def _tool(call: object, *, libraries: str = "") -> Tool:
    more = f" {libraries}." if libraries else ""
    return Tool(
        name=NAME,
        description=f"Run Python code in a sandbox without network. {DESCRIPTION}.{more}",
        parameters=RunPython,
        effect=Effect.READS,
        call=call,  # type: ignore[arg-type]
    )


async def _output(
    output: Output, *, artifacts: Artifacts, context: ToolContext
) -> Mapping[str, Any]:
    """A rich output as data: its text, and its other forms as artifacts."""
    forms = (
        ("figure", "png", "image/png", output.png),
        ("figure", "svg", "image/svg+xml", output.svg.encode("utf-8", "replace")),
        ("table", "html", "text/html", output.html.encode("utf-8", "replace")),
    )
    stored: list[Artifact] = []
    not_kept: list[str] = []
    for kind, suffix, media_type, content in forms:
        if content:
            # One name for one content: a run shows many figures, and none has a name of its own.
            name = f"{kind}-{hashlib.sha256(content).hexdigest()[:8]}.{suffix}"
            try:
                stored.append(
                    await artifacts.keep(content, name=name, media_type=media_type, context=context)
                )
            except ArtifactError as error:
                not_kept.append(f"{name}: {error}")
    return {
        "kind": output.kind.value,
        "text": output.text,
        "artifacts": [artifact.as_json() for artifact in stored],
        "left_out": list(output.left_out),
        "not_kept": not_kept,
    }


async def _files(
    session: Session,
    written: Sequence[FileEntry],
    *,
    artifacts: Artifacts,
    context: ToolContext,
) -> list[Mapping[str, Any]]:
    """Files that the cell wrote, as artifacts; one that is not kept is named all the same."""
    told_of: list[Mapping[str, Any]] = []
    for number, entry in enumerate(written):
        try:
            if number >= FILES or entry.size > FILE_BYTES:
                raise ArtifactError(f"{FILES} files of {FILE_BYTES:,} bytes each at most")
            content = await session.get(entry.path)
            media_type = mimetypes.guess_type(PurePosixPath(entry.path).name)[0]
            artifact = await artifacts.keep(
                content,
                name=entry.path,
                media_type=media_type or "application/octet-stream",
                context=context,
            )
        except (ArtifactError, FileNotFoundError, SandboxError) as error:
            told_of.append({"name": entry.path, "bytes": entry.size, "left_out": str(error)})
        else:
            told_of.append(artifact.as_json())
    return told_of


def _left_out(outputs: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> str:
    """A note on what was made and not kept; empty where all was."""
    lines = [line for output in outputs for line in output["not_kept"]]
    lines += [f"{file['name']}: {file['left_out']}" for file in files if "left_out" in file]
    more = f", and {len(lines) - _FILES_NAMED} more" if len(lines) > _FILES_NAMED else ""
    return f"[not kept for the user: {'; '.join(lines[:_FILES_NAMED])}{more}]" if lines else ""


def told(
    execution: Execution, *, files: Sequence[str] = (), before: str = "", after: str = ""
) -> str:
    """What the model reads of an execution, ``CONTENT_LENGTH`` characters at most."""
    shown = [_shown(output) for output in execution.outputs]
    texts = (execution.stdout, *shown, execution.stderr)
    text = "\n".join(part.rstrip("\n") for part in texts if part.strip())
    notes = [before, ending(execution), _named(files), after]
    note = shortened("\n".join(one for one in notes if one), to=CONTENT_LENGTH // 2)
    if not text:
        return note or "The code ended without printing anything; print() the result."
    return shortened(text, to=CONTENT_LENGTH - len(note) - 1) + (f"\n{note}" if note else "")


def ending(execution: Execution) -> str:
    """A note on how it ended; empty where there is nothing to say."""
    notes = (_outcome_note(execution), _variables_note(execution.variables))
    return " ".join(note for note in notes if note)


def _outcome_note(execution: Execution) -> str:
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
        case Outcome.INTERRUPTED:
            return "[interrupted]"


def _variables_note(variables: Variables) -> str:
    match variables:
        case Variables.KEPT:
            return ""
        case Variables.NEW:
            return "[the kernel had ended before: earlier variables are gone, files are there]"
        case Variables.LOST:
            return "[all variables are gone, files are there]"


def _printed(execution: Execution) -> str:
    """What was printed, and the values that were shown in words."""
    shown = [one.text for one in execution.outputs if not one.png and not one.svg]
    text = "\n".join(part.rstrip("\n") for part in (execution.stdout, *shown) if part.strip())
    return shortened(text, to=PRINTED_LENGTH, mark=CUT)


def _shown(output: Output) -> str:
    """An output in words: a picture cannot be read here, but it has been shown."""
    forms = [name for name, there in (("png", output.png), ("svg", output.svg)) if there]
    figure = f"[figure shown to the user: {' and '.join(forms)}]" if forms else ""
    return "\n".join(part for part in (figure or output.text, *output.left_out) if part)


def _named(files: Sequence[str]) -> str:
    if not files:
        return ""
    more = f" and {len(files) - _FILES_NAMED} more" if len(files) > _FILES_NAMED else ""
    names = ", ".join(name[:80] for name in files[:_FILES_NAMED])
    return f"[files written: {names}{more}]"


def shortened(text: str, *, to: int, mark: str = "") -> str:
    """The beginning and, where errors and totals stand, the end; no number is cut in two."""
    if len(text) <= to:
        return text
    mark = mark or f"\n[... {len(text):,} characters in all, the middle left out ...]\n"
    room = to - len(mark)
    tail = room // 3
    return _HALF_LAST.sub("", text[: room - tail]) + mark + _HALF_FIRST.sub("", text[-tail:])
