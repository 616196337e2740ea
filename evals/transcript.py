"""What the team did for each question, from its recorded events, as text for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from evals.judge import Judgement, judge
from evals.questions import Kind, Question
from graphs.events import (
    AgentFinished,
    AgentStarted,
    GraphChunk,
    LimitReached,
    ModelCalled,
    ModelDelta,
    RunEvent,
    RunFailed,
    RunFinished,
    RunInterrupted,
    RunStarted,
    Source,
    ToolFinished,
    ToolStarted,
    Usage,
    Verdict,
)

SHARE: Final = 0.7
SECONDS: Final = 90.0
_PASSAGE: Final = 240


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One question put to the product.

    ``seconds`` is wall time as the user waits; ``failure`` says why there is no answer.
    """

    question: Question
    events: tuple[RunEvent, ...]
    seconds: float
    failure: str = ""

    @property
    def finished(self) -> RunFinished | None:
        return next((e for e in reversed(self.events) if isinstance(e, RunFinished)), None)

    @property
    def answer(self) -> str:
        return self.finished.answer if self.finished else ""

    @property
    def sources(self) -> tuple[Source, ...]:
        return tuple(self.finished.sources) if self.finished else ()

    @property
    def usage(self) -> Usage:
        ends = (e for e in reversed(self.events) if isinstance(e, RunFinished | RunFailed))
        return next((end.usage for end in ends), Usage())

    @property
    def judgement(self) -> Judgement:
        if self.finished is None:
            return Judgement(correct=False, source_ok=False, reason=self.failure or "no answer")
        return judge(self.question, self.answer, (source.source for source in self.sources))

    @property
    def right(self) -> bool:
        """Answered rightly with a right source, in time."""
        judged = self.judgement
        return judged.correct and judged.source_ok and self.seconds < SECONDS


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a set of attempts did; ``problems`` are empty when it holds."""

    right: int
    asked: int
    problems: tuple[str, ...]


def outcome(attempts: Sequence[Attempt]) -> Outcome:
    """Seven of ten right with a source, each in time, and nothing invented."""
    right = sum(attempt.right for attempt in attempts)
    needed = ceil(SHARE * len(attempts))
    problems = []
    if right < needed or not attempts:
        problems.append(f"{right} of {len(attempts)} right, {needed} needed")
    problems += [
        f"{a.question.id} took {a.seconds:.0f} s, {SECONDS:.0f} s allowed"
        for a in attempts
        if a.seconds >= SECONDS
    ]
    problems += [
        f"{a.question.id} has no answer in the documents: {a.judgement.reason}"
        for a in attempts
        if a.question.kind is Kind.UNANSWERABLE and not a.judgement.correct
    ]
    return Outcome(right=right, asked=len(attempts), problems=tuple(problems))


def line(attempt: Attempt) -> str:
    """One attempt on one line, for a terminal."""
    word = "right" if attempt.right else "wrong"
    why = "" if attempt.right else f"  ({_why(attempt)})"
    return f"{word}  {attempt.seconds:5.1f} s  {attempt.question.id}{why}"


def table(attempts: Iterable[Attempt]) -> str:
    """The Markdown table of all attempts."""
    rows = [
        "| Question | Kind | Answer | Source | Seconds | Model calls | Tokens in | Tokens out |",
        "| --- | --- | --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for attempt in attempts:
        judged, usage = attempt.judgement, attempt.usage
        cells = (
            attempt.question.id,
            attempt.question.kind.value.replace("_", " "),
            "right" if judged.correct else "**wrong**",
            "right" if judged.source_ok else "**missing**",
            f"{attempt.seconds:.1f}",
            str(usage.model_calls),
            str(usage.input_tokens),
            str(usage.output_tokens),
        )
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def document(attempts: Sequence[Attempt], *, machine: str) -> str:
    """The whole record as Markdown, wrong answers shown like right ones.

    Args:
        attempts: in the order in which they were made.
        machine: what it ran on, in general words.
    """
    names = {e.model for a in attempts for e in a.events if isinstance(e, ModelCalled)}
    result = outcome(attempts)
    about = (
        f"The questions of `examples/questions.json`, asked with `counterpoint ask` about "
        f"`examples/handbook`. Model: {', '.join(sorted(names)) or 'none was called'}. "
        f"Machine: {machine}. Made by `make evals`; the seconds are what a user waits."
    )
    score = (
        f"**{result.right} of {result.asked} answered rightly with a right source, "
        f"in under {SECONDS:.0f} s.**"
    )
    head = [
        "# First answers",
        about,
        score,
        *(f"Not as it should be: {problem}." for problem in result.problems),
        table(attempts),
    ]
    return "\n\n".join([*head, *map(_section, attempts)]) + "\n"


def as_json(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """The same for machines."""
    result = outcome(attempts)
    return {
        "right": result.right,
        "asked": result.asked,
        "problems": list(result.problems),
        "attempts": [
            {
                "id": a.question.id,
                "kind": a.question.kind.value,
                "correct": a.judgement.correct,
                "source_ok": a.judgement.source_ok,
                "reason": a.judgement.reason,
                "seconds": round(a.seconds, 2),
                "answer": a.answer,
                "sources": [source.source for source in a.sources],
                "stop_reason": a.finished.stop_reason if a.finished else None,
                "failure": a.failure,
                "usage": a.usage.model_dump(),
            }
            for a in attempts
        ],
    }


def _section(attempt: Attempt) -> str:
    question = attempt.question
    why = _why(attempt).rstrip(".")
    verdict = "**Right.**" if attempt.right else f"**Wrong**: {why}."
    parts = [
        f"## {question.id}",
        _quoted(question.question),
        "Steps:\n\n" + ("\n".join(_steps(attempt.events)) or "- none"),
        "Answer:\n\n" + _quoted(attempt.answer or attempt.failure or "(no answer)"),
    ]
    if attempt.finished and attempt.finished.stop_reason != "answered":
        parts.append(f"Stopped because: {attempt.finished.stop_reason}.")
    parts.append("Sources:\n\n" + ("\n".join(map(_source, attempt.sources)) or "- none"))
    parts.append(f"Expected: {question.answer}")
    parts.append(f"{verdict} {attempt.seconds:.1f} s.")
    return "\n\n".join(parts)


def _why(attempt: Attempt) -> str:
    judged = attempt.judgement
    if judged.correct and judged.source_ok:
        return f"took longer than {SECONDS:.0f} s"
    return judged.reason


def _steps(events: Iterable[RunEvent]) -> list[str]:
    """One Markdown item for each event that tells of work, model calls in the order they ended."""
    steps = []
    for event in events:
        match event:
            case AgentStarted():
                steps.append(f"- **{event.agent}**: {_flat(event.instruction)}")
            case ModelCalled():
                failed = "" if event.ok else ", failed"
                steps.append(
                    f"  - {event.agent} asked the model: {event.input_tokens} tokens in, "
                    f"{event.output_tokens} out, {event.seconds:.1f} s{failed}"
                )
            case ToolStarted():
                args = json.dumps(event.args, ensure_ascii=False)
                steps.append(f"  - {event.agent} called {event.tool} {_code(args)}")
            case ToolFinished():
                word = "" if event.ok else "failed: "
                steps.append(
                    f"  - {event.tool}: {word}{_flat(event.summary)} ({event.seconds:.1f} s)"
                )
            case AgentFinished():
                steps.append(
                    f"  - {event.agent} done in {event.seconds:.1f} s: {_flat(event.summary)}"
                )
            case Verdict():
                word = "supported" if event.supported else "not supported"
                problems = "; ".join(map(_flat, event.problems))
                steps.append(f"- **verdict**: {word}{': ' if problems else ''}{problems}")
            case LimitReached():
                steps.append(
                    f"- **limit**: {event.limit} at {event.used:g}, {event.maximum:g} allowed"
                )
            case RunFailed():
                steps.append(f"- **failed**: {event.error}: {_flat(event.message)}")
            case RunInterrupted():
                steps.append("- **paused**: the run waits for an answer")
            case RunStarted() | RunFinished() | GraphChunk() | ModelDelta():
                pass
    return steps


def _source(source: Source) -> str:
    place = ", ".join(
        filter(None, (f"page {source.page}" if source.page else "", source.heading or ""))
    )
    name = source.source.replace("\\", "/").rsplit("/", 1)[-1]
    return f"- [{source.number}] `{name}`{', ' if place else ''}{place}: {_flat(source.text)}"


def _flat(text: str) -> str:
    """One line, cut at a word, in which nothing reads as markup."""
    line = " ".join(text.split())
    if len(line) > _PASSAGE:
        line = line[:_PASSAGE].rsplit(" ", 1)[0] + " …"
    for sign in "\\`*_<|#":
        line = line.replace(sign, "\\" + sign)
    return line


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}"


def _quoted(text: str) -> str:
    return "\n".join(f"> {row}".rstrip() for row in text.strip().splitlines()) or ">"
