"""A long answer in pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from server.slack.cutting import MESSAGE, PIECE, cut, raw
from tests.server.slack import limits


def pieces(text: str, *, most: int) -> list[str]:
    found, start = [], 0
    while start < len(text):
        piece = cut(text, start, most=most)
        assert piece.end > start
        found.append(piece.text)
        start = piece.end
    return found


def test_it_is_cut_behind_a_paragraph_before_a_line_before_a_word() -> None:
    assert pieces("aaaa bbbb\n\ncccc dddd", most=12) == ["aaaa bbbb\n\n", "cccc dddd"]
    assert pieces("aaaa bbbb\ncccc dddd", most=12) == ["aaaa bbbb\n", "cccc dddd"]
    assert pieces("aaaa bbbb cccc dddd", most=12) == ["aaaa bbbb ", "cccc dddd"]
    assert pieces("a" * 25, most=12) == ["a" * 12, "a" * 12, "a"]


def test_a_code_block_that_is_cut_is_closed_and_opened_again() -> None:
    text = "Look:\n```python\n" + "x = 1\n" * 6 + "```\nDone."
    for piece in pieces(text, most=30):
        assert piece.count("```") % 2 == 0
    assert pieces(text, most=30)[1].startswith("```python\n")


def test_a_fence_of_another_kind_inside_a_code_block_closes_nothing() -> None:
    text = "~~~~\n```\n" + "line\n" * 10 + "~~~~\nafter"
    assert all(piece.startswith("~~~~") for piece in pieces(text, most=30)[:-1])


@given(st.text(alphabet="ab \n`~", max_size=400), st.integers(min_value=10, max_value=60))
def test_what_a_stream_is_given_is_the_text_whatever_it_is(text: str, most: int) -> None:
    told, start = "", 0
    while start < len(text):
        piece = raw(text, start, most=most)
        assert 0 < len(piece.text) <= most
        told, start = told + piece.text, piece.end
    assert told == text


@given(st.text(alphabet="a \n`~", max_size=200), st.integers(min_value=20, max_value=60))
def test_every_piece_comes_to_an_end(text: str, most: int) -> None:
    pieces(text, most=most)


def test_a_piece_and_a_message_stay_below_what_slack_takes() -> None:
    fences = 2 * 60 + 10
    assert PIECE + fences <= limits.MARKDOWN
    assert MESSAGE <= limits.MESSAGE
