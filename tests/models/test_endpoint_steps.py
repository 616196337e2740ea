"""A model behind real HTTP takes steps, whichever way it calls tools."""

from __future__ import annotations

import json

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from models.errors import ContextTooLong, MalformedStep
from models.registry import ClientKind, ToolMode
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Raw, Says
from tests.models.chatting import (
    MODES,
    SEARCH,
    Cited,
    NotingGate,
    answers,
    calls,
    cites,
    model_of,
)

ASK = [SystemMessage("You research."), HumanMessage("How long may I return a plan?")]
both = pytest.mark.parametrize("mode", MODES)


@both
async def test_a_tool_call_arrives_as_a_langchain_tool_call(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(calls(mode, {"query": "return plan", "limit": 2}, usage=(120, 30)))
    gate = NotingGate()
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], gate=gate)
    [call] = reply.message.tool_calls
    assert (call["name"], call["args"]) == (
        "search_documents",
        {"query": "return plan", "limit": 2},
    )
    assert call["id"]
    assert reply.message.usage_metadata == {
        "input_tokens": 120,
        "output_tokens": 30,
        "total_tokens": 150,
    }
    assert reply.cost == pytest.approx((120 * 1 + 30 * 4) / 1e6)
    assert [(usage.estimated, ok) for usage, _, ok in gate.settled] == [(False, True)]


@both
async def test_an_answer_arrives_as_content(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(answers(mode, "Within 30 days."))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert (reply.message.content, reply.message.tool_calls) == ("Within 30 days.", [])


@both
async def test_a_typed_answer_arrives_validated_beside_tools(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(cites(mode, {"text": "30 days", "sources": [1]}))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], answer=Cited)
    assert reply.answer == {"text": "30 days", "sources": [1]}


@both
async def test_a_typed_answer_of_the_wrong_shape_is_mended_once(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(
        cites(mode, {"text": "30 days", "sources": "1"}),
        cites(mode, {"text": "30 days", "sources": [1]}),
    )
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], answer=Cited)
    assert (reply.answer, reply.attempts) == ({"text": "30 days", "sources": [1]}, 2)
    told = openai_endpoint.requests[1].body["messages"][-1]["content"]
    assert "sources" in told


@both
async def test_text_alone_asks_for_no_tools_and_no_schema(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(Says(text="Hello."))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK)
    assert reply.message.content == "Hello."
    body = openai_endpoint.requests[0].body
    assert not {"tools", "tool_choice", "response_format"} & set(body)


async def test_a_constrained_model_sees_a_plain_alternating_conversation(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    call = {"name": "search_documents", "args": {"query": "plan"}, "id": "c1"}
    history = [
        *ASK,
        AIMessage("", tool_calls=[call]),
        ToolMessage("[1] Thirty days.", tool_call_id="c1", name="search_documents"),
        HumanMessage("Be brief."),
    ]
    openai_endpoint.will(answers(ToolMode.CONSTRAINED, "30 days"))
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED) as model:
        await model.call(history, tools=[SEARCH])
    body = openai_endpoint.requests[0].body
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert "[1] Thirty days." in body["messages"][-1]["content"]
    assert all(set(m) == {"role", "content"} for m in body["messages"])
    assert "tools" not in body
    assert body["response_format"]["type"] == "json_schema"


async def test_a_native_model_is_given_tools_and_history_in_the_providers_form(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    call = {"name": "search_documents", "args": {"query": "plan"}, "id": "c1"}
    history = [*ASK, AIMessage("", tool_calls=[call]), ToolMessage("[1] 30.", tool_call_id="c1")]
    openai_endpoint.will(answers(ToolMode.NATIVE, "30 days"))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        await model.call(history, tools=[SEARCH])
    body = openai_endpoint.requests[0].body
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert [tool["function"]["name"] for tool in body["tools"]] == ["search_documents"]
    assert body["tool_choice"] == "auto"


async def test_a_native_model_may_call_several_tools_at_once(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    two = tuple(
        Call(name="search_documents", args=f'{{"query": "{word}"}}', id=f"c_{word}")
        for word in ("plan", "refund")
    )
    openai_endpoint.will(Says(calls=two, finish="tool_calls"))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert [c["args"]["query"] for c in reply.message.tool_calls] == ["plan", "refund"]


async def test_calls_that_share_an_id_get_results_of_their_own(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    two = tuple(
        Call(name="search_documents", args=f'{{"query": "{word}"}}', id="call_1")
        for word in ("plan", "refund")
    )
    openai_endpoint.will(Says(calls=two, finish="tool_calls"))
    async with model_of(openai_endpoint, ToolMode.NATIVE, client=ClientKind.LEAN) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    first, second = reply.message.tool_calls
    assert (first["args"], second["args"]) == ({"query": "plan"}, {"query": "refund"})
    assert first["id"] == "call_1" != second["id"]


@both
async def test_half_a_character_in_a_call_can_be_kept_and_sent_on(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(calls(mode, '{"query": "plan \\ud83d"}'))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert reply.message.tool_calls[0]["args"] == {"query": "plan \ufffd"}


@both
async def test_half_a_character_in_an_answer_can_be_kept(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(answers(mode, "30 days \ud83d", usage=(50, 10)))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert reply.message.content == "30 days \ufffd"


@both
@pytest.mark.parametrize(
    "value", ["1" + "0" * 30, "1e999", "NaN", "[" * 101 + "]" * 101, "[" * 9000]
)
async def test_what_no_store_holds_is_no_argument(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode, value: str
) -> None:
    openai_endpoint.will(
        calls(mode, f'{{"query": "plan", "limit": {value}}}'), calls(mode, {"query": "plan"})
    )
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert reply.message.tool_calls[0]["args"] == {"query": "plan"}


@both
async def test_a_required_tool_is_not_answered_around(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(answers(mode, "I know it."), calls(mode, {"query": "plan"}))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], tool_choice="required")
    assert (len(reply.message.tool_calls), reply.attempts) == (1, 2)


@both
async def test_malformed_tool_json_is_mended_once(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(calls(mode, '{"query": "pl'), calls(mode, {"query": "plan"}))
    gate = NotingGate()
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], gate=gate)
    assert reply.message.tool_calls[0]["args"] == {"query": "plan"}
    assert reply.usage.output_tokens == 20
    assert len(gate.settled) == 2


@both
async def test_malformed_tool_json_twice_is_a_typed_error(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(calls(mode, '{"query": "pl'), calls(mode, '{"query": "pl'))
    gate = NotingGate()
    async with model_of(openai_endpoint, mode) as model:
        with pytest.raises(MalformedStep, match="double"):
            await model.call(ASK, tools=[SEARCH], gate=gate)
    assert len(gate.settled) == 2


@both
async def test_a_reply_cut_at_the_token_limit_gets_one_more_try_with_more_room(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(
        calls(mode, '{"query": "annual', finish="length"), calls(mode, {"query": "annual plan"})
    )
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], max_tokens=200)
    assert reply.message.tool_calls[0]["args"] == {"query": "annual plan"}
    assert [r.body["max_tokens"] for r in openai_endpoint.requests] == [200, 400]


async def test_an_answer_cut_at_the_token_limit_is_asked_for_whole(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    openai_endpoint.will(Says(text="Within 30", finish="length"), Says(text="Within 30 days."))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        reply = await model.call(ASK, max_tokens=300)
    assert (reply.message.content, reply.attempts) == ("Within 30 days.", 2)
    assert [r.body["max_tokens"] for r in openai_endpoint.requests] == [300, 600]


@pytest.mark.parametrize(("limit", "attempts"), [(300, 2), (40, 1)])
async def test_an_answer_that_stays_cut_or_is_bounded_on_purpose_is_taken_as_it_is(
    openai_endpoint: OpenAIEndpoint, limit: int, attempts: int
) -> None:
    openai_endpoint.will(*[Says(text="Within 30", finish="length")] * attempts)
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        reply = await model.call(ASK, max_tokens=limit)
    assert (reply.message.content, reply.attempts) == ("Within 30", attempts)
    assert reply.message.response_metadata["finish_reason"] == "length"


async def test_a_model_that_reasons_has_room_for_it(openai_endpoint: OpenAIEndpoint) -> None:
    """Its reasoning counts as reply: once it is seen, the bound is the model's own."""
    reasons = {"choices": [{"delta": {"reasoning_content": "Hm."}, "finish_reason": "length"}]}
    body = f"data: {json.dumps(reasons)}\n\ndata: [DONE]\n\n"
    openai_endpoint.will(
        Raw(body=body, content_type="text/event-stream"), Says(text="30 days."), Says(text="Yes.")
    )
    async with model_of(
        openai_endpoint, ToolMode.NATIVE, client=ClientKind.LEAN, max_output=2_000
    ) as model:
        assert (await model.call(ASK, max_tokens=200)).message.content == "30 days."
        await model.call(ASK, max_tokens=200)
    assert [r.body["max_tokens"] for r in openai_endpoint.requests] == [200, 2_000, 2_000]


@both
async def test_an_empty_reply_is_asked_for_again(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(Says(), answers(mode, "Here."))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert reply.message.content == "Here."


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "search_documents", "arguments": {"query": "plan"}}\n</tool_call>',
        '[TOOL_CALLS][{"name": "search_documents", "arguments": {"query": "plan"}}]',
        '{"name": "search_documents", "parameters": {"query": "plan"}}',
    ],
)
async def test_a_call_that_a_native_models_server_left_in_the_text_is_found(
    openai_endpoint: OpenAIEndpoint, text: str
) -> None:
    openai_endpoint.will(Says(text=text))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert [call["args"] for call in reply.message.tool_calls] == [{"query": "plan"}]
    assert reply.message.content == ""


@pytest.mark.parametrize("text", ['{"query": "plan"}', "[1] says so.", '```json\n{"a": 1}\n```'])
async def test_what_only_looks_like_a_call_is_an_answer(
    openai_endpoint: OpenAIEndpoint, text: str
) -> None:
    openai_endpoint.will(Says(text=text))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert (reply.message.content, reply.message.tool_calls) == (text, [])


@pytest.mark.parametrize(
    "text",
    [
        '```json\n{"action": "search_documents", "args": {"query": "plan"}}\n```',
        'Sure!\n```\n{"name": "search_documents", "arguments": {"query": "plan"}}\n```\nDone.',
        '<tool_call>{"name": "search_documents", "arguments": {"query": "plan"}}</tool_call>',
    ],
)
async def test_a_call_wrapped_in_prose_is_found(openai_endpoint: OpenAIEndpoint, text: str) -> None:
    openai_endpoint.will(Says(text=text))
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert reply.message.tool_calls[0]["args"] == {"query": "plan"}


async def test_an_endpoint_that_ignores_the_schema_is_told_once_and_then_given_up(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    openai_endpoint.will(Says(text="Let me think."), Says(text="Thirty days, I guess."))
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED) as model:
        with pytest.raises(MalformedStep) as caught:
            await model.call(ASK, tools=[SEARCH])
    assert caught.value.text == "Thirty days, I guess."
    assert "Let me think." in openai_endpoint.requests[1].body["messages"][-1]["content"]


async def test_a_prompt_far_beyond_the_context_is_refused_unsent(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    gate = NotingGate()
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED, context=500) as model:
        with pytest.raises(ContextTooLong, match="500 tokens"):
            await model.call([HumanMessage("word " * 2000)], gate=gate)
    assert gate.reserved == []
    assert openai_endpoint.requests == []
