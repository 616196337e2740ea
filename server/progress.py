"""How a fetch looks in a terminal, and in a log."""

from __future__ import annotations

import contextlib
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from models import progress as models_progress


def for_console(console: Console) -> models_progress.Progress:
    """A bar where someone watches, else a line every ten percent."""
    return BarProgress(console) if console.is_terminal else LineProgress(console)


def size(count: int) -> str:
    return f"{count / 1_000_000:,.1f} MB" if count < 100_000_000 else f"{count / 1e9:.2f} GB"


def _opening(name: str, *, total: int, have: int, destination: Path, source: str) -> str:
    rest = f", {size(have)} of it are there already" if have else ""
    return f"Fetching {name} ({size(total)}{rest}) from {source} to {destination}"


def _say(console: Console, text: str) -> None:
    # A terminal that has closed is told nothing more, and ends nothing.
    with contextlib.suppress(OSError):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


class BarProgress:
    """A bar with speed and time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task = TaskID(0)

    def start(self, name: str, *, total: int, have: int, destination: Path, source: str) -> None:
        self.done()
        _say(
            self._console,
            _opening(name, total=total, have=have, destination=destination, source=source),
        )
        self._bar = Progress(
            TextColumn("{task.percentage:>3.0f}%"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bar.add_task(name, total=total, completed=have)
        self._bar.start()

    def advance(self, count: int) -> None:
        if self._bar is not None:
            self._bar.advance(self._task, count)

    def note(self, text: str) -> None:
        _say(self._console, text)

    def done(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class LineProgress:
    """A line at the start and after each further ten percent."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._total = self._have = self._told = 0

    def start(self, name: str, *, total: int, have: int, destination: Path, source: str) -> None:
        self._name, self._total, self._have = name, total, have
        self._told = self._tenths()
        self.note(_opening(name, total=total, have=have, destination=destination, source=source))

    def advance(self, count: int) -> None:
        self._have += count
        if self._tenths() > self._told:
            self._told = self._tenths()
            self.note(f"{self._name}: {self._told * 10} % of {size(self._total)}")

    def note(self, text: str) -> None:
        _say(self._console, text)

    def done(self) -> None:
        return

    def _tenths(self) -> int:
        return 10 * self._have // self._total if self._total else 0
