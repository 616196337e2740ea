"""Events come out of bytes whole, wherever the network has cut them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sse import Events, TooLong

DATA = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Bytes of a stream, and the data of its events."""
    text, events = draw(st.sampled_from(["", "\ufeff"])), []
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    for lines in draw(st.lists(st.lists(DATA, min_size=1, max_size=3), max_size=5)):
        if draw(st.booleans()):
            text += f": keep-alive{end}event: delta{end}id: 7{end}"
        text += "".join(f"data: {line}{end}" for line in lines) + end
        events.append("\n".join(lines).encode())
    return text.encode(), events


@given(streams(), st.data())
def test_any_cut_of_the_bytes_gives_the_same_events(
    stream: tuple[bytes, list[bytes]], data: st.DataObject
) -> None:
    raw, expected = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=20)))
    bounds = [0, *cuts, len(raw)]
    events = Events()
    found = []
    for start, end in pairwise(bounds):
        found += events.feed(raw[start:end])
    assert found + events.end() == expected


@given(streams())
def test_byte_after_byte_gives_the_same_events(stream: tuple[bytes, list[bytes]]) -> None:
    raw, expected = stream
    events = Events()
    found = [each for byte in raw for each in events.feed(bytes([byte]))]
    assert found + events.end() == expected


def test_an_event_without_its_closing_line_is_given_at_the_end() -> None:
    events = Events()
    assert events.feed(b"data: 1\n\ndata: 2") == [b"1"]
    assert events.end() == [b"2"]


def test_fields_that_only_begin_like_data_are_left_out() -> None:
    assert Events().feed(b"database: 1\ndata\n\n") == [b""]


@pytest.mark.parametrize("more", [b"x" * 60, b"\ndata: " + b"x" * 60 + b"\n"])
def test_a_line_or_an_event_has_a_longest_length(more: bytes) -> None:
    events = Events(longest=100)
    events.feed(b"data: " + b"x" * 60)
    with pytest.raises(TooLong):
        events.feed(more)
