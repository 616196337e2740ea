"""Messages are read in any of the shapes that LangGraph's clients send."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumpd
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
)

from server.wire.graph_messages import BadMessageError, read

CALL = {"name": "search", "args": {"q": "x"}, "id": "c", "type": "tool_call"}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("hi", HumanMessage("hi")),
        ({"role": "user", "content": "hi"}, HumanMessage("hi")),
        ({"role": "human", "content": "hi"}, HumanMessage("hi")),
        ({"type": "human", "content": "hi", "id": "1"}, HumanMessage("hi", id="1")),
        ({"role": "assistant", "content": "yes"}, AIMessage("yes")),
        ({"type": "ai", "content": "yes", "name": "a"}, AIMessage("yes", name="a")),
        ({"type": "AIMessageChunk", "content": "yes"}, AIMessage("yes")),
        ({"role": "system", "content": "be kind"}, SystemMessage("be kind")),
        (
            {"type": "tool", "content": "found", "tool_call_id": "c"},
            ToolMessage("found", tool_call_id="c"),
        ),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, None),
        (message_to_dict(HumanMessage("hi", id="1")), HumanMessage("hi", id="1")),
        (dumpd(HumanMessage("hi", id="1")), HumanMessage("hi", id="1")),
        (HumanMessage("hi"), HumanMessage("hi")),
        (HumanMessage("hi").model_dump(), HumanMessage("hi")),
    ],
)
def test_each_shape_is_read(told: Any, message: Any) -> None:
    found = read([told])
    if message is None:
        assert isinstance(found[0], AIMessage)
        assert found[0].tool_calls == [CALL]
        return
    assert found == read(told) == [message]


def test_content_in_blocks_keeps_its_texts() -> None:
    blocks = [
        {"type": "text", "text": "What is "},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
        {"type": "text", "text": "this?"},
    ]
    found = read([{"role": "user", "content": blocks}])
    assert found[0].text == "What is this?"
    assert found[0].content == blocks


def test_nothing_is_no_message() -> None:
    assert read(None) == read([]) == []


@pytest.mark.parametrize(
    "told", [{"role": "bird", "content": "x"}, {"content": "x"}, 7, None, {"type": "tool"}]
)
def test_a_shape_that_nobody_knows_is_named_by_its_place(told: Any) -> None:
    with pytest.raises(BadMessageError, match=r"input\.messages\[1\]"):
        read(["hi", told])


@given(
    told=st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["role", "type", "content", "data", "kwargs", "id"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_whatever_is_sent_is_read_or_refused_in_words(told: Any) -> None:
    try:
        found = read(told)
    except BadMessageError:
        return
    assert all(not isinstance(one, AIMessageChunk) for one in found)
