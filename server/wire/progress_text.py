"""A run's events as short lines for people. Pure; what a terminal and a chat window both show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from graphs import events
from server.wire.printable import short


def parsed(event: Mapping[str, Any]) -> events.RunEvent | None:
    """A logged event as a type; None for one that this version does not know."""
    try:
        return events.EVENT.validate_python(event)
    except ValidationError:
        return None


def progress_line(event: events.RunEvent) -> str | None:
    """One line without its line end; None for what is no news to a reader."""
    match event:
        case events.RunStarted():
            return f"starting again (attempt {event.attempt})" if event.attempt > 1 else None
        case events.AgentStarted():
            return f"{event.agent}: {short(event.instruction)}"
        case events.AgentFinished():
            return f"{event.agent}: done, {_seconds(event.seconds)}"
        case events.ModelCalled():
            return _model_called(event)
        case events.ToolStarted():
            return f"{event.agent}: {_tool_started(event.tool, event.args)}"
        case events.ToolFinished():
            failed = "" if event.ok else " failed"
            summary = short(event.summary) or "done"
            return f"{event.agent}: {event.tool}{failed}: {summary}, {_seconds(event.seconds)}"
        case events.ToolRefused():
            return f"{event.agent}: {event.tool} was not run: {short(event.reason)}"
        case events.ArtifactMade():
            made = event.artifact
            return f"{event.agent}: made {short(made.name)}, {made.bytes:,} bytes"
        case events.ApprovalRequested():
            return f"{event.agent}: {event.tool} waits for approval: {short(event.reason)}"
        case events.ApprovalDecided():
            said = f": {short(event.message)}" if event.message else ""
            return f"{event.agent}: {event.tool}: decided, {event.decision}{said}"
        case events.DocumentSuspicious():
            return f"{event.agent}: {short(event.source)} tries to instruct; it is read as data"
        case events.LoopNoticed():
            ended = "stopped" if event.stopped else "nudged"
            return f"{event.agent}: goes round in circles, {ended}: {short(event.reason)}"
        case events.QuestionUnderstood():
            return _understood(event)
        case events.RetrievalQuery():
            return _queried(event)
        case events.DocumentRead():
            return (
                f"{event.agent}: {short(event.title)}: "
                f"{event.read} of {event.passages} passages read"
            )
        case events.LimitNear():
            return f"limit near: {event.limit}, {event.used:,.6g} of {event.maximum:,.6g}"
        case events.Verdict():
            problems = f": {short('; '.join(event.problems))}" if event.problems else ""
            return f"critic: {'supported' if event.supported else 'not supported'}{problems}"
        case events.LimitReached():
            return f"limit reached: {event.limit}, {event.used:,.6g} of {event.maximum:,.6g}"
        case events.RunInterrupted():
            return "the run waits for an answer"
        case events.GraphChunk() | events.ModelDelta():
            return None
        case events.RunFinished() | events.RunFailed():
            return None


def _understood(event: events.QuestionUnderstood) -> str:
    if len(event.parts) > 1:
        return f"looking up: {short('; '.join(event.parts))}"
    return f"understood as: {short(event.question)}"


def _queried(event: events.RetrievalQuery) -> str | None:
    """News only where more than the question itself was looked for, or a file was not read."""
    if event.unread:
        return f"{event.agent}: could not read {short('; '.join(event.unread))}"
    if event.filters and not event.relaxed:
        told = ", ".join(f"{name}: {value}" for name, value in event.filters.items())
        return f"{event.agent}: {event.hits} passages within {short(told)}"
    if event.filters:
        return f"{event.agent}: nothing within the filters; {event.hits} passages without them"
    if event.reason in ("thin", "not_found"):
        return f"{event.agent}: searched in other words: {event.hits} passages"
    return None


def _model_called(event: events.ModelCalled) -> str:
    parts = [
        f"{event.agent}: {event.model}",
        f"{event.input_tokens} tokens in",
        f"{event.output_tokens} out",
        *([f"${event.cost:.4f}"] if event.cost else []),
        _seconds(event.seconds),
        *([] if event.ok else ["failed"]),
    ]
    return short(", ".join(parts))


def _tool_started(tool: str, args: Mapping[str, Any]) -> str:
    match tool, args:
        case "search_documents", {"query": str(query)}:
            return f"searching documents for “{short(query)}”"
        case "run_python", {"code": str(code)}:
            lines = len(code.strip().splitlines())
            return f"running Python, {lines} {'line' if lines == 1 else 'lines'}"
        case _:
            return f"{tool} {short(json.dumps(args, ensure_ascii=False))}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s"
