"""A run in the terminal: a line a step, then the answer with its numbered sources. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from graphs import events
from server.wire import sections
from server.wire.printable import printable, short
from server.wire.progress_text import progress_line

WIDTH = 88
_EXCERPT = 240


def step(event: events.RunEvent) -> str | None:
    """A line about a step; None for what is no news to a reader."""
    return progress_line(event)


def answer(finished: events.RunFinished) -> Iterator[str]:
    """The answer, its sources, and what it took, as lines."""
    yield ""
    yield from printable(finished.answer).splitlines() or ["(no answer)"]
    if program := sections.program(finished.cells):
        yield ""
        yield "Code"
        yield from (f"    {line}" for line in printable(program).splitlines())
    if finished.artifacts:
        yield ""
        yield "Files"
        for one in finished.artifacts:
            yield f"    {printable(one.name)} ({sections.size(one.bytes)}, {one.media_type})"
    if finished.sources:
        yield ""
        yield "Sources"
        for source in finished.sources:
            yield from _source(source)
    yield ""
    yield closing(finished)


def closing(finished: events.RunFinished) -> str:
    """The last line: why it stopped where it was not answered, and what it took."""
    reasons = {
        "answered": "",
        "asked_back": "The team needs to know more. ",
        "not_found": "No answer was found. ",
    }
    reason = finished.stop_reason
    opening = reasons.get(reason, f"Stopped at {reason}: this is what there was by then. ")
    return opening + spent(finished.usage)


def spent(usage: events.Usage) -> str:
    """Tokens, cost and time in words."""
    cost = f", ${usage.cost:.4f}" if usage.cost else ""
    return (
        f"{usage.model_calls} model calls, {usage.input_tokens:,} tokens in, "
        f"{usage.output_tokens:,} out{cost}, {usage.seconds:.1f} s"
    )


def place(source: events.Source) -> str:
    """File, page and heading."""
    parts = [source.source]
    if source.page is not None:
        parts.append(f"page {source.page}")
    if source.heading:
        parts.append(source.heading)
    return printable(", ".join(parts))


def _source(source: events.Source) -> Iterator[str]:
    head = f"[{source.number}] "
    yield head + place(source)
    yield from textwrap.wrap(
        f"“{short(source.text, longest=_EXCERPT)}”",
        width=WIDTH,
        initial_indent=" " * len(head),
        subsequent_indent=" " * len(head),
    )
