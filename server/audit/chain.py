"""Whether a chain of entries is whole, and which entry is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from server.audit.entry import FIRST, Entry, canonical, link

MOST_FAULTS = 100
NEARBY = 100


@dataclass(frozen=True, kw_only=True)
class Head:
    """The last entry as it was noted beside the log, or elsewhere: number and hash."""

    seq: int = 0
    hash: str = FIRST


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What is wrong at one entry, for people."""

    seq: int
    what: str


@dataclass(kw_only=True)
class Check:
    """Goes along a log, entry by entry, and notes what is wrong, up to ``MOST_FAULTS``."""

    tenant: str
    last: Head = field(default_factory=Head)
    faults: list[Fault] = field(default_factory=list)
    entries: int = 0

    def add(self, entry: Entry) -> None:
        """The next entry, in the order in which they are kept."""
        self.entries += 1
        for what in self._wrong(entry):
            self._note(entry.seq, what)
        # What follows is judged by what this entry says of itself: each fault is told once.
        self.last = Head(seq=max(entry.seq, self.last.seq), hash=entry.hash)

    def end(self, head: Head) -> None:
        """There are no more; ``head`` is what was noted of the last one."""
        if self.last.seq < head.seq:
            self._note(self.last.seq + 1, _missing(self.last.seq + 1, head.seq))
        elif self.last.seq > head.seq:
            self._note(head.seq + 1, f"entry {head.seq + 1} was added past the end of the log")
        elif self.last.hash != head.hash:
            self._note(head.seq, f"entry {head.seq} is not the one that was noted as the last")

    def _wrong(self, entry: Entry) -> Iterator[str]:
        due = self.last.seq + 1
        if entry.seq < due:
            yield f"entry {entry.seq} stands behind entry {self.last.seq}: out of order"
        elif entry.seq > due:
            yield _missing(due, entry.seq - 1)
        body = canonical(entry.fields)
        found = link(prev=entry.prev, seq=entry.seq, at=entry.at, body=body)
        if found != entry.hash and (stood := _stood(entry, body)):
            yield f"entry {entry.seq} was moved: it is what stood at {stood}"
        elif found != entry.hash:
            yield f"entry {entry.seq} was changed: its hash does not fit what it says"
        elif entry.seq == due and entry.prev != self.last.hash:
            yield (
                f"entry {entry.seq} does not follow entry {due - 1}: one of them was replaced or "
                "moved"
            )
        if entry.fields.get("tenant") != self.tenant:
            yield f"entry {entry.seq} belongs to another tenant"

    def _note(self, seq: int, what: str) -> None:
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(Fault(seq=seq, what=what))


def check(entries: Iterable[Entry], *, head: Head, tenant: str) -> Check:
    """The check of a whole log."""
    checking = Check(tenant=tenant)
    for entry in entries:
        checking.add(entry)
    checking.end(head)
    return checking


def _stood(entry: Entry, body: str) -> int | None:
    """The number nearby that an unchanged entry was written under, if that is another."""
    for seq in range(max(1, entry.seq - NEARBY), entry.seq + NEARBY + 1):
        if link(prev=entry.prev, seq=seq, at=entry.at, body=body) == entry.hash:
            return seq
    return None


def _missing(first: int, last: int) -> str:
    return (
        f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"
    )
