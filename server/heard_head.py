"""Where a run of the team has come to, as it heard itself: who has listened need not look."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langgraph.types import StateSnapshot

from graphs import team
from graphs.scoped_saver import Saved
from server.runs.record import RunRecord

_INTERRUPT = "__interrupt__"


@dataclass(kw_only=True)
class HeardHead:
    """The thread's latest state, of what the graph streams (``values``) and its saver has stored.

    ``hear`` is told of each checkpoint too.
    """

    hear: Callable[[Saved], None]
    values: Mapping[str, Any] = field(default_factory=dict)
    _checkpoint_id: str = ""

    def saved(self, saved: Saved) -> None:
        self._checkpoint_id = saved.checkpoint_id
        self.hear(saved)

    def ended(self, record: RunRecord) -> StateSnapshot | None:
        """The state with the run's own answer, behind which nothing follows; None: one has to look.

        Whoever stops between nodes may have the answer's own step before him.
        """
        messages = self.values.get("messages") or [None]
        answered = getattr(messages[-1], "id", None) == team.answer_id(record.run_id)
        stops = record.asked.interrupt_before or record.asked.interrupt_after
        if stops or not answered or _INTERRUPT in self.values or not self._checkpoint_id:
            return None
        return StateSnapshot(
            values=self.values,
            next=(),
            config={"configurable": {"checkpoint_id": self._checkpoint_id}},
            metadata=None,
            created_at=None,
            parent_config=None,
            tasks=(),
            interrupts=(),
        )
