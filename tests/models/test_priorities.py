"""Who comes first where calls queue: a person's, but nobody starves."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from models.priorities import AGING_SECONDS, Priority, WaitingLine

INTERACTIVE, BACKGROUND = Priority.INTERACTIVE, Priority.BACKGROUND


@dataclass(frozen=True, kw_only=True)
class Call:
    number: int
    at: float
    priority: Priority


def all_of(line: WaitingLine[Call]) -> list[Call]:
    found = []
    while (one := line.next()) is not None:
        found.append(one)
    return found


def test_interactive_calls_come_first() -> None:
    line: WaitingLine[str] = WaitingLine()
    line.join("nightly", priority=BACKGROUND, now=0.0)
    line.join("first", priority=INTERACTIVE, now=1.0)
    line.join("second", priority=INTERACTIVE, now=2.0)
    assert [line.next() for _ in range(4)] == ["first", "second", "nightly", None]


def test_one_in_the_background_is_not_overtaken_for_ever() -> None:
    line: WaitingLine[str] = WaitingLine()
    line.join("nightly", priority=BACKGROUND, now=0.0)
    line.join("late", priority=INTERACTIVE, now=AGING_SECONDS + 1)
    assert line.next() == "nightly"


def test_who_has_left_is_passed_over() -> None:
    line: WaitingLine[str] = WaitingLine()
    gone = line.join("gone", priority=INTERACTIVE, now=0.0)
    line.join("there", priority=INTERACTIVE, now=0.0)
    line.leave(gone)
    line.leave(gone)
    assert len(line) == 1
    assert line.next() == "there"
    assert not line


STEPS = st.lists(st.tuples(st.floats(0, 40), st.sampled_from(Priority)), max_size=40)


@given(STEPS, st.sets(st.integers(0, 39)))
def test_everybody_is_served_once_in_the_promised_order(
    steps: list[tuple[float, Priority]], leavers: set[int]
) -> None:
    line: WaitingLine[Call] = WaitingLine()
    now, joined = 0.0, []
    for number, (pause, priority) in enumerate(steps):
        now += pause
        call = Call(number=number, at=now, priority=priority)
        place = line.join(call, priority=priority, now=now)
        if number in leavers:
            line.leave(place)
        else:
            joined.append(call)
    served = all_of(line)
    assert sorted(served, key=lambda call: call.number) == joined
    for place, first in enumerate(served):
        for after in served[place + 1 :]:
            if first.priority is after.priority:
                assert first.number < after.number
            elif first.priority is INTERACTIVE:
                assert first.at <= after.at + AGING_SECONDS
            else:
                assert after.at >= first.at + AGING_SECONDS


@given(st.lists(st.floats(0.01, 3), min_size=60, max_size=60), st.integers(1, 5))
def test_a_flood_of_interactive_calls_keeps_nobody_waiting_for_ever(
    pauses: list[float], backlog: int
) -> None:
    """One call is served for each that comes, so that the line never gets shorter."""
    line: WaitingLine[float] = WaitingLine()
    nightly = -1.0
    line.join(nightly, priority=BACKGROUND, now=0.0)
    for _ in range(backlog):
        line.join(0.0, priority=INTERACTIVE, now=0.0)
    now = 0.0
    while True:
        for pause in pauses:
            now += pause
            line.join(now, priority=INTERACTIVE, now=now)
            served = line.next()
            if served == nightly:
                return
            assert served is not None
            assert served <= AGING_SECONDS
