"""Messages as the thread-centric protocol tells them, put together by LangChain's own reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models.chat_model_stream import ChatModelStream
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.messages.tool import tool_call_chunk

from graphs.plain import plain
from server.wire.protocol import Told
from server.wire.protocol_messages import Messages

NAME = "m1"
TASK = "0b8e"
METADATA = {"langgraph_node": "model", "langgraph_checkpoint_ns": f"model:{TASK}"}
WORDS = st.text(alphabet="ab é\n", min_size=1, max_size=6)


def calls(number: int) -> st.SearchStrategy[list[Any]]:
    """One call of a tool in pieces."""
    args = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 99), max_size=2)

    def cut(found: dict[str, int]) -> list[AIMessageChunk]:
        text = json.dumps(found)
        half = len(text) // 2
        first = tool_call_chunk(name="add", args=text[:half], id=f"call_{number}", index=number)
        rest = tool_call_chunk(args=text[half:], index=number)
        return [
            AIMessageChunk(content="", id=NAME, tool_call_chunks=[one]) for one in (first, rest)
        ]

    return args.map(cut)


TEXT = WORDS.map(lambda word: [AIMessageChunk(content=word, id=NAME)])
THOUGHT = WORDS.map(
    lambda word: [
        AIMessageChunk(content="", id=NAME, additional_kwargs={"reasoning_content": word})
    ]
)
PIECES = st.tuples(
    st.lists(THOUGHT, max_size=2),
    st.lists(TEXT, max_size=4),
    st.lists(st.integers(), max_size=2).flatmap(
        lambda some: st.tuples(*(calls(number) for number in range(len(some))))
    ),
).map(lambda parts: [piece for part in parts for pieces in part for piece in pieces])


def shown(messages: Messages, *pieces: Any, namespace: tuple[str, ...] = ()) -> list[Told]:
    return [
        told
        for piece in pieces
        for told in messages.show(plain(piece), METADATA, namespace=namespace, name="unnamed")
    ]


def data(told: Sequence[Told], **which: Any) -> list[dict[str, Any]]:
    return [one.data for one in told if which.items() <= one.data.items()]


def read(told: Sequence[Told]) -> AIMessage:
    """What LangChain's reader makes of the events."""
    stream = ChatModelStream(namespace=[], node="model", message_id=NAME)
    for one in told:
        assert (one.method, one.node) == ("messages", "model")
        stream.dispatch(one.data)
    return stream.output


@given(PIECES)
def test_a_message_is_read_as_what_the_model_wrote(pieces: list[AIMessageChunk]) -> None:
    last = AIMessageChunk(content="", id=NAME, chunk_position="last")
    whole = reduce(add, [*pieces, last])
    found = read(shown(Messages(), *pieces, last))
    assert found.id == NAME
    assert found.text == whole.text
    assert [(one["name"], one["args"]) for one in found.tool_calls] == [
        (one["name"], one["args"]) for one in whole.tool_calls
    ]
    thoughts = [one["reasoning"] for one in found.content_blocks if one["type"] == "reasoning"]
    assert "".join(thoughts) == whole.additional_kwargs.get("reasoning_content", "")


@given(PIECES)
def test_what_was_told_of_blocks_is_what_they_end_as(pieces: list[AIMessageChunk]) -> None:
    told = shown(Messages(), *pieces, AIMessageChunk(content="", id=NAME, chunk_position="last"))
    grown: dict[int, str] = {}
    for one in data(told, event="content-block-delta"):
        delta = one["delta"]
        piece = delta.get("text") or delta.get("reasoning") or delta.get("args") or ""
        grown[one["index"]] = grown.get(one["index"], "") + piece
    started = [one["index"] for one in data(told, event="content-block-start")]
    ended = {one["index"]: one["content"] for one in data(told, event="content-block-finish")}
    assert started == sorted(ended)
    for index, content in ended.items():
        kind = content["type"]
        if kind == "tool_call":
            assert json.loads(grown[index]) == content["args"]
        else:
            assert grown.get(index, "") == content[kind]


def test_text_and_thoughts_end_where_the_other_begins() -> None:
    thought = AIMessageChunk(content="", id=NAME, additional_kwargs={"reasoning_content": "hm"})
    text = AIMessageChunk(content="so", id=NAME)
    events = [one.data["event"] for one in shown(Messages(), thought, text, thought)]
    assert events[1:] == [
        "content-block-start",
        "content-block-delta",
        "content-block-finish",
    ] * 2 + ["content-block-start", "content-block-delta"]


def test_a_whole_message_is_told_at_once() -> None:
    call = {"name": "add", "args": {"x": 1}, "id": "c1", "type": "tool_call"}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    message = AIMessage(
        "Sum:",
        id="m2",
        tool_calls=[call],
        usage_metadata=usage,
        response_metadata={"model_name": "small", "finish_reason": "tool_calls"},
        additional_kwargs={"sources": [1]},
    )
    told = shown(Messages(), message)
    found = read(told)
    assert (found.text, found.tool_calls) == ("Sum:", [call])
    assert found.usage_metadata == usage
    assert found.response_metadata["finish_reason"] == "tool_calls"
    assert told[0].data["metadata"] == {"langgraph_node": "model", "model": "small"}
    assert told[-1].data["additional_kwargs"] == {"sources": [1]}


def test_a_persons_message_has_its_role_and_a_tools_is_not_told_here() -> None:
    told = shown(Messages(), HumanMessage("Hi", id="h1"), ToolMessage("3", tool_call_id="c1"))
    assert [(one.data["event"], one.data["message_id"]) for one in told] == [
        ("message-start", "h1"),
        ("content-block-start", "h1"),
        ("content-block-delta", "h1"),
        ("content-block-finish", "h1"),
        ("message-finish", "h1"),
    ]
    assert told[0].data["role"] == "human"


def test_a_call_whose_arguments_are_no_object_is_told_as_such() -> None:
    piece = tool_call_chunk(name="add", args='{"x": ', id="c1", index=0)
    told = shown(
        Messages(),
        AIMessageChunk(content="", id=NAME, tool_call_chunks=[piece]),
        AIMessageChunk(content="", id=NAME, chunk_position="last"),
    )
    (content,) = [one["content"] for one in data(told, event="content-block-finish")]
    assert (content["type"], content["args"], content["name"]) == (
        "invalid_tool_call",
        '{"x": ',
        "add",
    )


def test_messages_end_with_the_task_that_wrote_them() -> None:
    messages = Messages()
    shown(messages, AIMessageChunk(content="one", id=NAME))
    assert list(messages.over((), task="another")) == []
    assert [one.data["event"] for one in messages.over((), task=TASK)] == [
        "content-block-finish",
        "message-finish",
    ]
    assert list(messages.over(())) == []


def test_messages_that_come_at_the_same_time_are_told_apart() -> None:
    messages = Messages()
    pieces = [
        AIMessageChunk(content=word, id=name) for word, name in zip("abcd", "xyxy", strict=True)
    ]
    told = [*shown(messages, *pieces), *messages.over(())]
    for name, text in (("x", "ac"), ("y", "bd")):
        assert read([one for one in told if one.data["message_id"] == name]).text == text


def test_what_is_broken_off_is_told_and_not_finished() -> None:
    messages = Messages()
    shown(messages, AIMessageChunk(content="one", id=NAME))
    (told,) = messages.broken("The worker was lost.")
    assert told.data["event"] == "error"
    assert (told.data["message"], told.data["message_id"]) == ("The worker was lost.", NAME)
    assert list(messages.over(())) == []


@pytest.mark.parametrize(
    "message",
    [
        {"type": "AIMessageChunk", "id": NAME, "content": [{"type": "text", "text": 5}]},
        {"type": "AIMessageChunk", "id": NAME, "content": 5},
        {"type": "AIMessageChunk", "id": NAME, "content": "", "tool_call_chunks": [{"args": {}}]},
        {"type": "ai", "id": NAME, "content": [{"type": "text"}], "tool_calls": [{"name": 3}]},
        {"type": "human", "id": NAME, "content": [{"type": "text", "text": {}}, 3, None]},
    ],
    ids=str,
)
def test_what_is_no_message_of_langchains_ends_no_stream(message: dict[str, Any]) -> None:
    messages = Messages()
    told = [*messages.show(message, None, namespace=(), name="n"), *messages.over(())]
    assert told[0].data["event"] == "message-start"
    assert told[-1].data["event"] == "message-finish"


def test_a_persons_message_in_parts_is_told_whole() -> None:
    parts: list[str | dict[Any, Any]] = [
        "Look: ",
        {"type": "image", "url": "https://example.com/a.png"},
    ]
    told = shown(Messages(), HumanMessage(content=parts, id="h1"))
    assert [one["content"] for one in data(told, event="content-block-finish")] == [
        {"type": "text", "text": "Look: "},
        {"type": "image", "url": "https://example.com/a.png"},
    ]
