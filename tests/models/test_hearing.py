"""What is heard of a reply while it is written is what the reply says in the end."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage

from models.chat import ToolChoice, build
from models.constrained import read
from models.dialect import Read
from models.hearing import AnswerText, Heard
from models.pieces import Piece
from models.registry import ToolMode
from models.schema import Step
from models.scripted import Scripted, ScriptedModel
from tests.doubles.openai_endpoint import Cut, OpenAIEndpoint, Says
from tests.models.chatting import MODES, SEARCH, Cited, answers, calls, cites, model_of
from tests.models.wire import Bytes, byte_server, frame, says, spec

ASK = [HumanMessage("How long may I return a plan?")]
both = pytest.mark.parametrize("mode", MODES)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
OTHERS = st.dictionaries(
    TEXT.filter(lambda name: name not in ("text", "action", "thought")), VALUES
)


def hear(text: str, *, cuts: list[int] | None = None) -> tuple[str, str]:
    listener = AnswerText()
    bounds = [0, *sorted(cuts or []), len(text)]
    pieces = [listener(Piece(text[start:end])) for start, end in pairwise(bounds)]
    return "".join(said for said, _ in pieces), "".join(thought for _, thought in pieces)


@given(
    TEXT.filter(str.strip),
    TEXT,
    OTHERS,
    st.booleans(),
    st.sampled_from([None, 2]),
    st.lists(st.integers(0, 200)),
)
def test_the_answers_text_is_heard_out_of_its_object(
    text: str,
    thought: str,
    others: dict[str, Any],
    ascii_only: bool,
    indent: int | None,
    cuts: list[int],
) -> None:
    fields = {**others, "thought": thought, "action": "answer", "text": text}
    written = json.dumps(fields, ensure_ascii=ascii_only, indent=indent)
    step = Step(tools=(SEARCH,), answer=None, must_call=False, thought=True)
    found = read(written, step)
    assert isinstance(found, Read)
    assert hear(written, cuts=cuts) == (found.message.content, thought)


@given(st.text() | VALUES.map(json.dumps) | st.text('{}[]",:\\u0dac tex'))
def test_nothing_breaks_it(text: str) -> None:
    hear(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"action": "search_documents", "args": {"text": "plan", "action": "answer"}}',
        '{"text": "too soon", "action": "answer"}',
        '{"args": [{"action": "answer"}, "}"], "text": "no"}',
        'Sure: {"action": "answer", "text": "unsure"}',
        '{"action": "answer", "text": ["no", "text"]}',
        '{"action": "answer"} {"text": "behind"}',
    ],
)
def test_what_is_not_known_to_be_the_answer_is_not_heard(text: str) -> None:
    assert hear(text) == ("", "")


@both
async def test_an_answer_is_heard_as_it_comes_under_the_id_of_its_message(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(answers(mode, "Within 30 days, or 45."))
    heard: list[Heard] = []
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], heard=heard.append)
    assert "".join(piece.text for piece in heard) == reply.message.content
    assert {piece.message_id for piece in heard} == {reply.message.id}


@both
@pytest.mark.parametrize("cut", list(Cut))
async def test_an_attempt_that_failed_is_told_by_a_new_id(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode, cut: Cut
) -> None:
    openai_endpoint.will(
        answers(mode, "Within thirty or so days.", cut=cut), answers(mode, "Within 30 days.")
    )
    heard: list[Heard] = []
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], heard=heard.append)
    ids = list(dict.fromkeys(piece.message_id for piece in heard))
    texts = ["".join(piece.text for piece in heard if piece.message_id == id_) for id_ in ids]
    assert len(ids) == 2
    assert "Within thirty or so days.".startswith(texts[0])
    assert (ids[1], texts[1]) == (reply.message.id, "Within 30 days.")


@both
@pytest.mark.parametrize(("choice", "answer"), [("required", None), ("auto", Cited)])
async def test_of_calls_and_typed_answers_nothing_is_heard(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode, choice: ToolChoice, answer: type | None
) -> None:
    fields = {"text": "30 days", "sources": [1]}
    openai_endpoint.will(cites(mode, fields) if answer else calls(mode, {"query": "plan"}))
    heard: list[Heard] = []
    async with model_of(openai_endpoint, mode) as model:
        await model.call(ASK, tools=[SEARCH], answer=answer, tool_choice=choice, heard=heard.append)
    assert heard == []


async def test_text_without_tools_is_heard_of_a_constrained_model_too(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    openai_endpoint.will(Says(text='{"plain": "words"} are heard as they are'))
    heard: list[Heard] = []
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED) as model:
        await model.call(ASK, heard=heard.append)
    assert "".join(piece.text for piece in heard) == '{"plain": "words"} are heard as they are'


@both
async def test_reasoning_is_heard_and_kept_beside_the_answer(mode: ToolMode) -> None:
    text = "Yes." if mode is ToolMode.NATIVE else '{"action": "answer", "text": "Yes."}'
    writes = [frame({"reasoning": "Let me "}), frame({"reasoning": "see."}), *says(text)]
    heard: list[Heard] = []
    async with byte_server(Bytes(writes=writes)) as server:
        model = build(spec(server.url, tools=mode))
        reply = await model.call(ASK, tools=[SEARCH], heard=heard.append)
        await model.aclose()
    assert [(piece.reasoning, piece.text) for piece in heard] == [
        ("Let me ", ""),
        ("see.", ""),
        ("", "Yes."),
    ]
    assert reply.message.additional_kwargs == {"reasoning_content": "Let me see."}


async def test_a_listener_that_raises_ends_the_call(openai_endpoint: OpenAIEndpoint) -> None:
    class GoneError(Exception):
        pass

    def gone(heard: Heard) -> None:
        raise GoneError

    openai_endpoint.will(Says(text="thirty"))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        with pytest.raises(GoneError):
            await model.call(ASK, heard=gone)


async def test_the_scripted_twin_is_heard_the_same_way() -> None:
    heard: list[Heard] = []
    steps = [Scripted(answer="within thirty days"), Scripted(answer={"text": "x", "sources": []})]
    with ScriptedModel(steps=steps) as model:
        reply = await model.call(ASK, heard=heard.append)
        assert "".join(piece.text for piece in heard) == reply.message.content
        assert {piece.message_id for piece in heard} == {reply.message.id}
        heard.clear()
        await model.call(ASK, answer=Cited, heard=heard.append)
    assert heard == []
