"""A circuit breaker: when an endpoint is left alone, and when it is tried again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models import errors
from models.breaker import Breaker, FailureKind, Pass, Rules, State, kind_of
from tests import examples

RULES = Rules()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def admitted(breaker: Breaker) -> Pass:
    found = breaker.admit()
    assert found is not None
    return found


def opened() -> tuple[Breaker, Clock]:
    clock = Clock()
    breaker = Breaker(clock=clock)
    assert breaker.failed(admitted(breaker), FailureKind.REFUSED)
    return breaker, clock


def test_three_failures_open_it_and_a_refused_connection_does_at_once() -> None:
    breaker = Breaker(clock=Clock())
    kinds = [FailureKind.TIMEOUT, FailureKind.CUT, FailureKind.SERVER_ERROR]
    assert [breaker.failed(admitted(breaker), kind) for kind in kinds] == [False, False, True]
    assert breaker.state is State.OPEN
    assert opened()[0].state is State.OPEN


def test_a_few_failures_among_many_replies_do_not_open_it() -> None:
    breaker = Breaker(clock=Clock())
    for number in range(60):
        leave = admitted(breaker)
        if number % 3:
            breaker.succeeded(leave)
        else:
            breaker.failed(leave, FailureKind.SERVER_ERROR)
    assert breaker.state is State.CLOSED


def test_failures_of_long_ago_are_forgotten() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for _ in range(10):
        assert not breaker.failed(admitted(breaker), FailureKind.TIMEOUT)
        clock.now += RULES.window / 2 + 1
    assert breaker.state is State.CLOSED


def test_one_call_tries_it_again_and_its_reply_closes_it() -> None:
    breaker, clock = opened()
    assert breaker.admit() is None
    clock.now += RULES.first_open
    assert breaker.state == "half_open"
    trial = admitted(breaker)
    assert breaker.admit() is None
    assert breaker.succeeded(trial)
    assert breaker.state == "closed"
    assert breaker.admit() is not None


def test_each_failed_trial_doubles_the_time_up_to_a_bound() -> None:
    breaker, clock = opened()
    times = []
    for _ in range(8):
        clock.now += breaker.opens_in
        assert breaker.failed(admitted(breaker), FailureKind.CUT)
        times.append(breaker.opens_in)
    assert times == pytest.approx([4, 8, 16, 32, 60, 60, 60, 60])


def test_retry_after_opens_it_for_as_long_as_was_told() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    assert breaker.failed(admitted(breaker), FailureKind.CAPACITY, retry_after=45.0)
    assert breaker.opens_in == pytest.approx(45.0)
    clock.now += 45.0
    breaker.succeeded(admitted(breaker))
    assert breaker.failed(admitted(breaker), FailureKind.CAPACITY, retry_after=1e9)
    assert breaker.opens_in == pytest.approx(RULES.longest_told)


def test_a_trial_whose_caller_went_away_leaves_room_for_another() -> None:
    breaker, clock = opened()
    clock.now += RULES.first_open
    breaker.abandoned(admitted(breaker))
    assert breaker.state is State.HALF_OPEN
    assert breaker.admit() is not None


def test_what_began_before_it_opened_says_nothing_about_the_time_after() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    early, late = admitted(breaker), admitted(breaker)
    breaker.failed(admitted(breaker), FailureKind.REFUSED)
    until = breaker.opens_in
    assert not breaker.succeeded(early)
    assert not breaker.failed(late, FailureKind.REFUSED)
    assert breaker.state is State.OPEN
    assert breaker.opens_in == until


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.ModelUnreachable(""), FailureKind.REFUSED),
        (errors.ModelTimeout(""), FailureKind.TIMEOUT),
        (errors.StreamCut(""), FailureKind.CUT),
        (errors.ModelFailed(""), FailureKind.SERVER_ERROR),
        (errors.RateLimited(""), FailureKind.CAPACITY),
        (errors.BadKey(""), None),
        (errors.ModelNotFound(""), None),
        (errors.ContextTooLong(""), None),
        (errors.ModelRefused(""), None),
        (errors.MalformedStep(""), None),
        (RuntimeError(), None),
    ],
)
def test_a_request_of_our_own_making_does_not_count(
    error: BaseException, kind: FailureKind | None
) -> None:
    assert kind_of(error) is kind


@given(st.lists(st.booleans(), max_size=40))
def test_replies_alone_never_open_it(before: list[bool]) -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for abandons in before:
        leave = admitted(breaker)
        if abandons:
            breaker.abandoned(leave)
        else:
            breaker.succeeded(leave)
        clock.now += 1
    assert breaker.state is State.CLOSED


class AnyOrder(RuleBasedStateMachine):
    """Calls begin and end in any order, and time goes by."""

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.breaker = Breaker(clock=self.clock)
        self.out: list[Pass] = []
        self.replied = True

    @rule(seconds=st.floats(0, 100))
    def time_goes_by(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule()
    def one_begins(self) -> None:
        state = self.breaker.state
        given_leave = self.breaker.admit()
        assert given_leave is None or state is not State.OPEN
        if given_leave is not None:
            self.out.append(given_leave)

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def one_is_answered(self, data: st.DataObject) -> None:
        before = self.breaker.state
        closed = self.breaker.succeeded(self._one(data))
        assert closed == (before is not State.CLOSED and self.breaker.state is State.CLOSED)

    @precondition(lambda self: self.out)
    @rule(
        data=st.data(),
        kind=st.sampled_from(FailureKind),
        after=st.none() | st.floats(0, 1e4),
    )
    def one_fails(self, data: st.DataObject, kind: FailureKind, after: float | None) -> None:
        before = self.breaker.state
        if self.breaker.failed(self._one(data), kind, retry_after=after):
            assert self.breaker.state is State.OPEN
            assert self.breaker.opens_in >= RULES.first_open - 1e-6
            assert self.breaker.opens_in <= RULES.longest_told + 1e-6
        else:
            assert self.breaker.state is before

    @precondition(lambda self: self.out)
    @rule(data=st.data())
    def one_goes_away(self, data: st.DataObject) -> None:
        before = self.breaker.state
        self.breaker.abandoned(self._one(data))
        assert self.breaker.state is before

    def _one(self, data: st.DataObject) -> Pass:
        place = data.draw(st.integers(0, len(self.out) - 1))
        return self.out.pop(place)

    @invariant()
    def never_shut_for_ever(self) -> None:
        if not hasattr(self, "breaker"):
            return
        assert sum(one.trial and one.era == self.breaker._era for one in self.out) <= 1
        if not self.out:
            later = Clock()
            later.now = self.clock.now + self.breaker.opens_in
            self.breaker.clock, clock = later, self.breaker.clock
            assert self.breaker.admits
            self.breaker.clock = clock


AnyOrder.TestCase.settings = settings(max_examples=examples.times(40), stateful_step_count=30)
TestAnyOrder = AnyOrder.TestCase
