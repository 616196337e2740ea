"""What the team has done so far, as the few lines that somebody in Slack follows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from graphs import events
from graphs.event_log import Entry
from server.wire.progress_text import parsed, progress_line

MOST_TITLE = 200
# The rest is for those who look closely, in the console.
_SHOWN = (
    events.RunStarted,
    events.AgentStarted,
    events.ToolStarted,
    events.ToolRefused,
    events.ApprovalRequested,
    events.ApprovalDecided,
    events.DocumentSuspicious,
    events.LoopNoticed,
    events.Verdict,
    events.LimitNear,
    events.LimitReached,
)


class Steps:
    """Told a run's events in order, from its start; ``news`` is set whenever there is more."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.began = False
        self.ended = False
        self.news = asyncio.Event()

    def take(self, entry: Entry) -> None:
        """One more event."""
        known = parsed(entry.event) if not entry.is_gap else None
        if not self.began:
            self.began = True
            self.news.set()
        line = progress_line(known) if isinstance(known, _SHOWN) else None
        if line is not None:
            self.lines.append(line)
            self.news.set()

    def end(self) -> None:
        """The run is over, or waits."""
        self.ended = True
        self.news.set()


def task_chunks(lines: Sequence[str], *, told: int, done: bool = False) -> list[Mapping[str, Any]]:
    """What a stream is told of its steps, of which it knows the first ``told``.

    A chunk says a step's state by its id, so that it may be told twice.
    """
    found: list[Mapping[str, Any]] = []
    first = max(0, told - 1)
    for number, line in enumerate(lines[first:], start=first):
        last = number == len(lines) - 1
        if number < told and last and not done:
            continue
        found.append(
            {
                "type": "task_update",
                "id": f"step-{number + 1}",
                "title": line[:MOST_TITLE],
                "status": "in_progress" if last and not done else "complete",
            }
        )
    return found


def text_chunk(text: str) -> Mapping[str, Any]:
    """A piece of the answer."""
    return {"type": "markdown_text", "text": text}
