"""Which state may follow which."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.runs.transitions import RunStatus, is_legal, may_follow

STATES = st.sampled_from(RunStatus)
TERMINAL = {
    RunStatus.SUCCESS,
    RunStatus.ERROR,
    RunStatus.CANCELLED,
    RunStatus.TIMEOUT,
}


@given(path=st.lists(STATES, max_size=30))
def test_a_legal_path_has_one_terminal_state_at_most_and_it_is_the_last(
    path: list[RunStatus],
) -> None:
    status, walked = RunStatus.PENDING, [RunStatus.PENDING]
    for wish in path:
        if is_legal(before=status, after=wish):
            status = wish
            walked.append(wish)
    assert all(not step.is_terminal for step in walked[:-1])
    for before, after in pairwise(walked):
        if after is RunStatus.SUCCESS:
            assert before is RunStatus.RUNNING


@given(status=STATES)
def test_only_the_end_has_no_way_on_and_everything_else_can_be_cancelled(
    status: RunStatus,
) -> None:
    assert status.is_terminal == (status in TERMINAL)
    assert (RunStatus.CANCELLED in may_follow(status)) != status.is_terminal
    assert status not in may_follow(status)
