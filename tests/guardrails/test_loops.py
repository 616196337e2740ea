"""Agents that go round in circles are nudged, then stopped; those that get on are left alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrails import loops
from guardrails.loops import Circle, Delegation, Move, Nudge, Record, Stop


def moves(calls: str) -> list[Move]:
    """One call a letter."""
    return [Move(call=letter, tool=f"tool_{letter}") for letter in calls]


def follow(record: list[Move]) -> list[Nudge | Stop]:
    """All that is said while the calls come in one by one; ends with a stop."""
    said: list[Nudge | Stop] = []
    for end in range(1, len(record) + 1):
        nudged = frozenset(one.circle for one in said)
        found = loops.look(Record(moves=record[:end]), nudged=nudged)
        if found is not None:
            said.append(found)
        if isinstance(found, Stop):
            break
    return said


def test_equal_calls_are_nudged_and_then_stopped() -> None:
    nudge, stop = follow(moves("aaaaa"))
    assert isinstance(nudge, Nudge)
    assert "tool_a with the same arguments" in nudge.text
    assert isinstance(stop, Stop)
    assert stop.reason == "it called tool_a with the same arguments and the same result 4 times"


def test_asking_again_for_what_changes_is_no_circle() -> None:
    polled = [Move(call="a", tool="status", result=str(at)) for at in range(20)]
    assert follow(polled) == []


def test_two_calls_in_turn_are_nudged_and_then_stopped() -> None:
    said = follow(moves("ababababab"))
    assert (type(said[0]), said[0].circle) == (Nudge, Circle.ALTERNATING)
    assert (type(said[-1]), said[-1].circle) == (Stop, Circle.ALTERNATING)


def test_three_calls_in_turn_are_a_circle_too() -> None:
    said = follow(moves("abcabcabcabc"))
    assert said[0].circle is Circle.ALTERNATING
    assert isinstance(said[-1], Stop)


def test_a_prompt_that_grows_without_findings_is_nudged_and_then_stopped() -> None:
    idle = [
        Move(call=str(at), tool="search", progress=2, context_tokens=1_000 + 200 * at)
        for at in range(20)
    ]
    nudge, stop = follow(idle)
    assert (type(nudge), nudge.circle) == (Nudge, Circle.GROWING)
    assert isinstance(stop, Stop)
    assert "10 calls brought nothing new" in stop.reason


def test_an_agent_that_finds_something_with_each_call_is_left_alone() -> None:
    busy = [
        Move(call=str(at), tool="search", progress=at, context_tokens=1_000 + 500 * at)
        for at in range(40)
    ]
    assert follow(busy) == []


def test_an_agent_that_hands_its_task_to_itself_is_told_and_then_stopped() -> None:
    task = Delegation(agent="researcher", instruction="Find the refund limits of 2026.")
    once = Record(chain=[task, task])
    told = loops.look(once)
    assert isinstance(told, Nudge)
    assert told.circle is Circle.SELF
    assert loops.look(once, nudged=frozenset({Circle.SELF})) is None
    stopped = loops.look(Record(chain=[task] * 3), nudged=frozenset({Circle.SELF}))
    assert isinstance(stopped, Stop)
    assert "researcher was handed its own task 2 times" in stopped.reason


def test_a_task_that_comes_back_by_way_of_another_is_self_delegation() -> None:
    chain = [
        Delegation(agent="coordinator", instruction="Find the refund limits of 2026."),
        Delegation(agent="researcher", instruction="Look up the handbook."),
        Delegation(agent="coordinator", instruction="find the refund limits of 2026"),
    ]
    told = loops.look(Record(chain=chain))
    assert isinstance(told, Nudge)
    other = Delegation(agent="coordinator", instruction="Translate the result into French.")
    assert loops.look(Record(chain=[*chain[:2], other])) is None


@given(st.text(alphabet="abc", max_size=30))
def test_nobody_is_stopped_who_was_not_nudged_for_the_same_circle(calls: str) -> None:
    said = follow(moves(calls))
    for at, one in enumerate(said):
        before = [other.circle for other in said[:at]]
        assert (one.circle in before) == isinstance(one, Stop)


@given(st.integers(1, 4), st.integers(12, 20))
def test_a_cycle_of_up_to_four_calls_always_ends_in_a_stop(size: int, rounds: int) -> None:
    assert isinstance(follow(moves("abcd"[:size] * rounds))[-1], Stop)


@given(st.integers(1, 40))
def test_different_calls_are_never_a_circle(count: int) -> None:
    assert follow([Move(call=str(at), tool="search") for at in range(count)]) == []
