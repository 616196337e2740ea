"""Which of a run's approvals belong to the pause that it is in. Pure.

LangGraph gives a node that asks twice, one question after the other, the same interrupt id; and a
run that is resumed in part pauses again at the interrupts that were left. What the last resume
answered, which the run's record tells, is what sets the two apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from server.approvals.record import Approval, ApprovalStatus
from server.runs.record import RunRecord

Groups = Mapping[tuple[str, int], Sequence[Approval]]
"""A run's approvals by interrupt and place within it, the oldest first."""


@dataclass(frozen=True, kw_only=True)
class Pause:
    """A run's pause. ``number`` counts its resumes, ``answered`` are the interrupts that the last
    one answered, ``asked`` those that it waits at now."""

    number: int
    answered: frozenset[str]
    asked: frozenset[str]

    def asks_again(self, one: Approval) -> bool:
        """Whether its interrupt, met in this pause, is the question that was asked before."""
        return one.pause == self.number or one.interrupt_id not in self.answered

    def ready(self, known: Groups) -> dict[str, Sequence[Approval]]:
        """The interrupts of which everything is decided, each with its approvals in order."""
        found: dict[str, list[Approval]] = {}
        for (interrupt, _), many in sorted(known.items()):
            last = many[-1]
            if interrupt in self.asked and last.pause == self.number:
                found.setdefault(interrupt, []).append(last)
        open_ = {ApprovalStatus.PENDING, ApprovalStatus.CANCELLED}
        return {
            interrupt: group
            for interrupt, group in found.items()
            if len(group) == group[0].of and not any(one.status in open_ for one in group)
        }


def pause_of(record: RunRecord) -> Pause:
    """The pause that a run is in, or is about to be in."""
    last = record.resume if record.resumes else (record.asked.command or {}).get("resume")
    told = (record.result or {}).get("interrupts") or ()
    return Pause(
        number=record.resumes,
        answered=frozenset(last) if isinstance(last, Mapping) else frozenset(),
        asked=frozenset(str(one.get("id")) for one in told if isinstance(one, Mapping)),
    )


def grouped(approvals: Sequence[Approval]) -> dict[tuple[str, int], list[Approval]]:
    """Approvals by interrupt and place."""
    groups: dict[tuple[str, int], list[Approval]] = {}
    for one in sorted(approvals, key=lambda one: (one.requested_at, one.approval_id)):
        groups.setdefault((one.interrupt_id, one.index), []).append(one)
    return groups
