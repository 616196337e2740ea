"""What the team's graph keeps between steps: plain data and LangChain messages only.

Class paths are stored in checkpoints, so nothing of ours appears here; field names are forever.
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages


def extend(old: list[Any] | None, new: list[Any] | None) -> list[Any]:
    """Append; ``None`` empties the list (a new run on the same thread starts afresh)."""
    return [] if new is None else [*(old or []), *new]


def furthest(old: dict[str, float] | None, new: dict[str, float] | None) -> dict[str, float]:
    """What was spent only grows, in whatever order branches report it; ``None`` starts anew."""
    if new is None:
        return {}
    return {name: max(value, (old or {}).get(name, 0)) for name, value in new.items()}


class Task(TypedDict):
    """One piece of work for one agent.

    ``queries`` are what an opening search looks for; none, no search. A ``wave`` starts when the
    one before it has brought its findings, and is told them.
    """

    id: str
    agent: str
    instruction: str
    queries: list[str]
    wave: int


class Wanted(TypedDict):
    """A tool call that an agent wants; ``native`` ones are answered by a tool message."""

    id: str
    name: str
    args: dict[str, Any]
    native: bool
    opening: bool


class Finding(TypedDict):
    """What one task brought: its words, the passages behind them, and code with its output."""

    task_id: str
    agent: str
    instruction: str
    text: str
    found: bool
    sources: list[dict[str, Any]]
    code: str
    output: str
    round: int


class Branch(TypedDict):
    """One agent at work: carried by `Send` from step to step, apart from the team's state.

    ``done`` are the calls made so far; ``focus`` shows the best passage alone; ``looking`` says
    that the next thought has to be a search in other words, ``retried`` that one was made.
    """

    task: Task
    briefing: str
    history: list[AnyMessage]
    evidence: list[dict[str, Any]]
    calls: list[Wanted]
    done: list[str]
    code: str
    output: str
    steps: int
    focus: bool
    looking: bool
    retried: bool
    round: int
    started: float


class TeamState(TypedDict, total=False):
    """The state of one thread."""

    messages: Annotated[list[AnyMessage], add_messages]
    run_id: str
    task: str
    tasks: list[Task]
    findings: Annotated[list[Finding], extend]
    draft: str
    cited: list[dict[str, Any]]
    verdict: dict[str, Any]
    round: int
    wave: int
    stop_reason: str
    spent: Annotated[dict[str, float], furthest]
