"""Ids of server-sent events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs.event_log import position
from server.errors import Invalid
from server.wire.rendering_ids import BEGINNING, FRAMES, HEAD, TAIL, Position, at, behind, parsed

positions = st.builds(
    Position, st.integers(1, 10**13), st.integers(0, 10**6), st.integers(1, FRAMES - 1)
)


@given(positions)
def test_an_id_that_was_sent_is_read_back_as_the_frame_it_stands_for(given: Position) -> None:
    assert parsed(str(given)) == given


@given(positions, positions)
def test_ids_grow_as_frames_do(one: Position, other: Position) -> None:
    def pair(position: Position) -> tuple[int, ...]:
        return tuple(int(word) for word in str(position).split("-"))

    assert (one < other) == (pair(one) < pair(other))


@given(positions)
def test_the_log_is_read_so_that_the_entry_comes_again(given: Position) -> None:
    before = position(given.before)
    assert before < (given.ms, given.seq)
    assert given.is_of(f"{given.ms}-{given.seq}")
    assert not given.is_of(f"{given.ms}-{given.seq + 1}")


def test_the_first_frame_stands_before_every_entry_and_the_last_resort_behind() -> None:
    assert BEGINNING < HEAD < at("1-0", 1) < at("1732485000123-7", 999) < TAIL


def test_behind_an_entry_is_before_the_next_one() -> None:
    assert at("1000-7", 998) < behind("1000-7") < at("1000-8", 1)


@pytest.mark.parametrize("given", [None, "", "-", "-1", "0", " 0 "])
def test_the_beginning_has_many_names(given: str | None) -> None:
    assert parsed(given) == BEGINNING


def test_a_time_stands_before_what_was_written_then() -> None:
    assert parsed("1732485000123") < at("1732485000123-0", 1)


@pytest.mark.parametrize("given", ["x", "1-x", "9" * 30, "1-1-1", "-2", f"1-{2**64}000", "١"])
def test_what_is_no_id_is_refused(given: str) -> None:
    with pytest.raises(Invalid, match="Last-Event-ID"):
        parsed(given)
