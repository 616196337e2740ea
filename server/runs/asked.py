"""What a caller asked of a run: plain JSON, stored once, never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

TEAM = "team"
FRONTEND = "frontend"
"""The graph, by name, of what chat frontends ask by themselves: a single model call."""
DEFAULT_COLLECTION = "default"


class MultitaskStrategy(StrEnum):
    """What happens to a run that is asked of a thread which is busy with another."""

    REJECT = "reject"
    """It is refused."""
    ENQUEUE = "enqueue"
    """It waits for its turn."""
    INTERRUPT = "interrupt"
    """The other runs of the thread are ended; their steps stay."""
    ROLLBACK = "rollback"
    """The other runs of the thread are ended and taken back: steps and record go."""


class CancelAction(StrEnum):
    """What becomes of the steps of a run that is ended from outside."""

    INTERRUPT = "interrupt"
    """They stay."""
    ROLLBACK = "rollback"
    """They go, and the run's record with them."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request for a run, as every wire hands it over; nothing here is ever rewritten.

    ``input`` and ``command`` are for the graph (``command`` wins), ``kwargs`` is the body as the
    wire that took it wants to show it again, ``user`` the name of the key that asked, with its
    ``roles``. ``answers`` is the paused run whose questions this one goes on from,
    ``continues`` the run that a limit had stopped, with what an operator has ``raised``.
    ``traceparent`` names the caller's span, as W3C Trace Context writes it.
    """

    graph: str = TEAM
    assistant_id: str = TEAM
    input: Any = None
    command: Mapping[str, Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    stream_modes: Sequence[str] = ()
    stream_subgraphs: bool = False
    interrupt_before: Sequence[str] | str = ()
    interrupt_after: Sequence[str] | str = ()
    checkpoint: Mapping[str, Any] | None = None
    multitask: MultitaskStrategy = MultitaskStrategy.ENQUEUE
    temporary: bool = False
    keep_on_disconnect: bool = True
    webhook: str | None = None
    user: str = ""
    roles: Sequence[str] = ()
    answers: str = ""
    continues: str = ""
    raised: Mapping[str, Any] = field(default_factory=dict)
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    traceparent: str = ""

    @property
    def configurable(self) -> Mapping[str, Any]:
        """The part of ``config`` that graphs read."""
        found = self.config.get("configurable")
        return found if isinstance(found, Mapping) else {}

    @property
    def agent(self) -> str:
        """Who of the team is asked: ``team`` for all of it."""
        return str(self.configurable.get("agent") or TEAM)

    @property
    def collection(self) -> str:
        """Which documents the team looks at."""
        return str(self.configurable.get("collection") or DEFAULT_COLLECTION)

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The messages among the input; none where it has another shape."""
        found = self.input.get("messages") if isinstance(self.input, Mapping) else None
        return found if isinstance(found, list | tuple) else []

    def stored(self) -> dict[str, Any]:
        """What differs from the defaults, as plain JSON."""
        default = _DEFAULT
        return {
            one.name: value
            for one in fields(self)
            if (value := getattr(self, one.name)) != getattr(default, one.name)
        }

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The reverse of ``stored``; fields that a newer version added are left out."""
        known = {one.name: stored[one.name] for one in fields(cls) if one.name in stored}
        if "multitask" in known:
            known["multitask"] = MultitaskStrategy(known["multitask"])
        return cls(**known)


_DEFAULT = Asked()


def of_messages(
    messages: Sequence[Mapping[str, Any]],
    *,
    agent: str = TEAM,
    collection: str = DEFAULT_COLLECTION,
    limits: Mapping[str, Any] | None = None,
) -> Asked:
    """Messages for the team, or for one of its agents."""
    return Asked(
        assistant_id=agent,
        input={"messages": list(messages)},
        config={"configurable": {"agent": agent, "collection": collection}},
        limits=limits or {},
    )
