"""What the team's graph keeps between steps: plain data and LangChain messages only.

Class paths are stored in checkpoints, so nothing of ours appears here; field names are forever.
"""

from __future__ import annotations

from typing import Annotated, Any, NotRequired, TypedDict

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


def first(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """What a run told first stays; ``None`` empties it."""
    if new is None:
        return {}
    return old if old and old.get("run_id") == new.get("run_id") else new


def latest(old: str | None, new: str) -> str:
    """Several may write it in one step: branches that a limit has ended at once."""
    del old
    return new


def merged(old: dict[str, Any] | None, new: dict[str, Any] | None) -> dict[str, Any]:
    """Add and replace by key; a key whose value is ``None`` goes, and ``None`` empties all."""
    if new is None:
        return {}
    both = {**(old or {}), **new}
    return {name: value for name, value in both.items() if value is not None}


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
    """A tool call that an agent wants; ``native`` ones are answered by a tool message.

    ``again`` counts how often a person has let it be made anew.
    """

    id: str
    name: str
    args: dict[str, Any]
    native: bool
    opening: bool
    again: NotRequired[int]


class Finding(TypedDict):
    """What one task brought: its words, the passages behind them, and code with its output.

    ``cells`` are all that ran, ``artifacts`` what they made. ``worded`` says that the words are
    about the output, by an agent that had read it. ``note`` is what a reader has to know beside the
    words: it is no claim, and never cited. ``unsearched`` is why the search that it begins with was
    not made, or failed.
    """

    task_id: str
    agent: str
    instruction: str
    text: str
    found: bool
    sources: list[dict[str, Any]]
    code: str
    output: str
    round: int
    note: NotRequired[str]
    cells: NotRequired[list[dict[str, Any]]]
    artifacts: NotRequired[list[dict[str, Any]]]
    worded: NotRequired[bool]
    unsearched: NotRequired[str]


class Branch(TypedDict):
    """One agent at work: carried by `Send` from step to step, apart from the team's state.

    ``done`` are the calls wanted so far; ``focus`` shows the best passage alone; ``looking`` says
    that the next thought has to be a search in other words, ``retried`` that one was made.
    ``apart`` says that these calls are some of the branch's, whose others wait for a person.
    ``moves`` are all calls that were wanted, ``nudged`` the circles that its model was told of,
    ``nudge`` what it is still to be told. ``why`` the next search is made in other words, and the
    ``fields`` that searches can be filtered by. ``reading`` is how far a document was read, and the
    notes taken of it. ``unsearched`` is as in the finding. ``refused`` are those of the calls in
    ``done`` that were not let run.
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
    apart: NotRequired[bool]
    moves: NotRequired[list[dict[str, Any]]]
    nudged: NotRequired[list[str]]
    nudge: NotRequired[str]
    why: NotRequired[str]
    reading: NotRequired[dict[str, Any]]
    fields: NotRequired[str]
    cells: NotRequired[list[dict[str, Any]]]
    artifacts: NotRequired[list[dict[str, Any]]]
    unsearched: NotRequired[str]
    refused: NotRequired[list[str]]


class Asking(TypedDict):
    """A call that waits for a person: carried by `Send`. ``value`` is what it was asked with; what
    the person is shown is made anew."""

    branch: Branch
    call: Wanted
    value: dict[str, Any]


class TeamState(TypedDict, total=False):
    """The state of one thread.

    ``held`` are branches, by task, that wait until all their calls are settled; ``settled`` is what
    came of those calls. ``stopped`` is the limit that was reached first, and the checkpoint to go
    on from once it is raised.
    """

    messages: Annotated[list[AnyMessage], add_messages]
    run_id: str
    task: str
    tasks: list[Task]
    findings: Annotated[list[Finding], extend]
    draft: str
    cited: list[dict[str, Any]]
    citations: list[dict[str, Any]]
    verdict: dict[str, Any]
    round: int
    wave: int
    stop_reason: Annotated[str, latest]
    stopped: Annotated[dict[str, Any], first]
    held: Annotated[dict[str, Branch], merged]
    settled: Annotated[dict[str, dict[str, Any]], merged]
    spent: Annotated[dict[str, float], furthest]
