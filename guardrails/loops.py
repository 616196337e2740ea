"""Whether an agent goes round in circles: a nudge to its model first, then a stop with a reason.

Judged over what was recorded of the agent, so a resumed run comes to the same end as one that was
never interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import pairwise, takewhile

from guardrails import grounding

_LONGEST_CYCLE = 4
_ALIKE = 0.8


class Circle(StrEnum):
    """A way of going round in circles."""

    EQUAL = "equal_calls"
    ALTERNATING = "alternating_calls"
    GROWING = "growing_context"
    SELF = "self_delegation"


@dataclass(frozen=True, kw_only=True)
class Move:
    """One tool call that an agent wanted.

    ``call`` is guardrails.arguments.digest of it; ``result`` some hash of what came back, so that
    asking again for what changes is no circle (empty: not known, or refused); ``progress`` how
    many findings, passages or results the agent had after it; ``context_tokens`` how long its
    model's prompt was.
    """

    call: str
    tool: str
    result: str = ""
    progress: int = 0
    context_tokens: int = 0


@dataclass(frozen=True, kw_only=True)
class Delegation:
    """Work that was handed to an agent."""

    agent: str
    instruction: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is recorded of one agent: its calls, oldest first, and the chain that led to it.

    ``chain`` begins with who was asked first and ends with this agent.
    """

    moves: Sequence[Move] = ()
    chain: Sequence[Delegation] = ()


@dataclass(frozen=True, kw_only=True)
class Bound:
    """How long a circle may be before the model is nudged, and before the agent is stopped."""

    nudge: int
    stop: int


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """The bounds of each circle.

    ``equal``: the same call with the same result in a row (one more where others lie between);
    ``alternating``: rounds of the same two to four calls; ``growing``: calls without progress
    while the prompt became ``growth`` times as long; ``self_delegation``: how often an agent
    handed work to itself, or its own task on to others until it came back.
    """

    equal: Bound = field(default_factory=lambda: Bound(nudge=2, stop=4))
    alternating: Bound = field(default_factory=lambda: Bound(nudge=2, stop=3))
    growing: Bound = field(default_factory=lambda: Bound(nudge=6, stop=10))
    self_delegation: Bound = field(default_factory=lambda: Bound(nudge=1, stop=2))
    growth: float = 1.5


@dataclass(frozen=True, kw_only=True)
class Nudge:
    """To be told to the model, once per kind of circle."""

    circle: Circle
    text: str


@dataclass(frozen=True, kw_only=True)
class Stop:
    """The agent ends here, with what it has; ``reason`` is for people."""

    circle: Circle
    reason: str


def look(
    record: Record, *, nudged: frozenset[Circle] = frozenset(), bounds: Bounds | None = None
) -> Nudge | Stop | None:
    """What to do about an agent; ``nudged`` are the circles that its model was told of.

    Nobody is stopped who was not nudged before.
    """
    bounds = bounds or Bounds()
    found: list[tuple[Circle, int, Bound, str]] = [
        (Circle.EQUAL, _equal(record.moves), bounds.equal, _tool(record)),
        (Circle.ALTERNATING, _rounds(record.moves), bounds.alternating, _tool(record)),
        (Circle.GROWING, _idle(record.moves, bounds.growth), bounds.growing, _tool(record)),
        (Circle.SELF, _returns(record.chain), bounds.self_delegation, _agent(record)),
    ]
    for circle, length, bound, who in found:
        if length >= bound.stop and circle in nudged:
            return Stop(circle=circle, reason=_STOPS[circle].format(who=who, length=length))
    for circle, length, bound, who in found:
        if length >= bound.nudge and circle not in nudged:
            return Nudge(circle=circle, text=_NUDGES[circle].format(who=who, length=length))
    return None


_NUDGES = {
    Circle.EQUAL: "You have called {who} with the same arguments and got the same result. "
    "Go on from that result, or try something else.",
    Circle.ALTERNATING: "You repeat the same few calls in turn and learn nothing new. "
    "Answer from what you have, or say what is missing.",
    Circle.GROWING: "The last {length} calls brought nothing new. "
    "Answer from what you have, or say what is missing.",
    Circle.SELF: "You are {who}, and this task was already given to you. "
    "Do it yourself; do not hand it on.",
}
_STOPS = {
    Circle.EQUAL: "it called {who} with the same arguments and the same result {length} times",
    Circle.ALTERNATING: "it went through the same few calls {length} times",
    Circle.GROWING: "its last {length} calls brought nothing new, while its prompt grew",
    Circle.SELF: "{who} was handed its own task {length} times",
}


def _equal(moves: Sequence[Move]) -> int:
    if not moves:
        return 0
    last = _key(moves[-1])
    in_a_row = sum(1 for _ in takewhile(lambda move: _key(move) == last, reversed(moves)))
    return max(in_a_row, sum(_key(move) == last for move in moves) - 1)


def _rounds(moves: Sequence[Move]) -> int:
    """How often the last two to four calls, not all the same, stand at the end in that order."""
    keys = [_key(move) for move in moves]
    most = 0
    for size in range(2, _LONGEST_CYCLE + 1):
        cycle = keys[-size:]
        if len(cycle) < size or len(set(cycle)) == 1:
            continue
        rounds = 0
        while keys[len(keys) - (rounds + 1) * size : len(keys) - rounds * size] == cycle:
            rounds += 1
        most = max(most, rounds)
    return most


def _idle(moves: Sequence[Move], growth: float) -> int:
    """How many of the last calls brought nothing, where the prompt grew over them."""
    idle = 0
    for before, after in pairwise(reversed(moves)):
        if before.progress > after.progress:
            break
        idle += 1
    if idle == 0 or moves[-1].context_tokens < growth * max(1, moves[-1 - idle].context_tokens):
        return 0
    return idle


def _returns(chain: Sequence[Delegation]) -> int:
    if not chain:
        return 0
    last = chain[-1]
    to_itself = sum(1 for _ in takewhile(lambda one: one.agent == last.agent, reversed(chain)))
    came_back = sum(
        one.agent == last.agent and _alike(one.instruction, last.instruction) for one in chain
    )
    return max(to_itself, came_back) - 1


def _alike(one: str, other: str) -> bool:
    first, second = (
        {grounding.stem(word) for word in grounding.words(text)} for text in (one, other)
    )
    both = first | second
    return not both or len(first & second) / len(both) >= _ALIKE


def _key(move: Move) -> tuple[str, str]:
    return move.call, move.result


def _tool(record: Record) -> str:
    return record.moves[-1].tool if record.moves else ""


def _agent(record: Record) -> str:
    return record.chain[-1].agent if record.chain else ""
