"""Who is told how a fetch goes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class Progress(Protocol):
    """Hears of one fetch at a time: ``start``, then ``advance``s and ``note``s, then ``done``."""

    def start(self, name: str, *, total: int, have: int, destination: Path, source: str) -> None:
        """Bytes begin to arrive from ``source``; ``have`` of ``total`` are there already."""
        ...

    def advance(self, count: int) -> None:
        """``count`` more bytes; negative where bytes have to be fetched again."""
        ...

    def note(self, text: str) -> None:
        """One line that a person should see."""
        ...

    def done(self) -> None:
        """The file is there and verified, or the source was given up."""
        ...


@dataclass(kw_only=True)
class RecordedProgress:
    """Keeps what it hears; the twin for tests and for callers without a terminal."""

    starts: list[tuple[str, int, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    have: int = 0
    finished: int = 0

    def start(self, name: str, *, total: int, have: int, destination: Path, source: str) -> None:
        self.starts.append((name, have, source))
        self.have = have

    def advance(self, count: int) -> None:
        self.have += count

    def note(self, text: str) -> None:
        self.notes.append(text)

    def done(self) -> None:
        self.finished += 1
