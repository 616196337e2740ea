"""Who comes first where calls of a model queue: those that a person waits for. Pure: no IO."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar, runtime_checkable

from models.chat import ChatModel

T = TypeVar("T")

AGING_SECONDS = 30.0
"""So much later may an interactive call come and still be served before one in the background."""


class Priority(StrEnum):
    INTERACTIVE = "interactive"
    """A person waits for it."""
    BACKGROUND = "background"
    """Nobody does: crons, batches, what is made ahead of time."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Whom a model's calls are for. Those of one ``session`` share beginnings of their prompts."""

    session: str = ""
    priority: Priority = Priority.INTERACTIVE


@runtime_checkable
class Serves(Protocol):
    """A chat model that treats workloads differently."""

    def serving(self, workload: Workload) -> ChatModel:
        """The same model, for calls of that workload; shares everything, and is not closed."""
        ...


def serving(model: ChatModel, workload: Workload) -> ChatModel:
    """The model for calls of a workload; the same one where it makes no difference."""
    return model.serving(workload) if isinstance(model, Serves) else model


@dataclass(order=True)
class _Entry(Generic[T]):
    due: float
    number: int
    item: T = field(compare=False)
    gone: bool = field(default=False, compare=False)


class WaitingLine(Generic[T]):
    """Who waits, in the order of service: interactive first, the longest wait first within a kind.

    Nobody starves: one in the background is served before all interactive ones that came more than
    ``aging`` seconds after it. Times in seconds of a clock that never goes back.
    """

    def __init__(self, *, aging: float = AGING_SECONDS) -> None:
        self._aging = aging
        self._heap: list[_Entry[T]] = []
        self._entries: dict[int, _Entry[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._entries)

    def join(self, item: T, *, priority: Priority, now: float) -> int:
        """Wait; gives the number with which to leave."""
        self._count += 1
        due = now if priority is Priority.INTERACTIVE else now + self._aging
        entry = _Entry(due, self._count, item)
        self._entries[self._count] = entry
        heapq.heappush(self._heap, entry)
        return self._count

    def leave(self, number: int) -> None:
        """Wait no longer; nothing happens where the turn has come already."""
        if (entry := self._entries.pop(number, None)) is not None:
            entry.gone = True

    def next(self) -> T | None:
        """Whose turn it is, who then waits no longer; None where nobody does."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            if not entry.gone:
                del self._entries[entry.number]
                return entry.item
        return None
