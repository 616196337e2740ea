"""The lean client as an ordinary chat model in somebody's own graph."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, get_usage_metadata_callback
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from pydantic import BaseModel

from models.lean import Method
from tests.models.chatting import KEY
from tests.models.wire import DONE, Bytes, byte_server, frame, lean_client, says

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
COUNTED = {
    "input_tokens": 9,
    "output_tokens": 4,
    "total_tokens": 13,
    "input_token_details": {"cache_read": 5},
    "output_token_details": {"reasoning": 2},
}
LOGPROBS = [{"content": [{"token": word, "logprob": -0.1}]} for word in ("Thirty", " days")]
FULL = Bytes(
    writes=[
        frame({"role": "assistant", "reasoning_content": "Let me"}),
        frame({"reasoning_content": " see."}),
        frame({"content": "Thirty"}, logprobs=None),
        frame({"content": " days"}),
        frame({}, finish="stop", system_fingerprint="fp_1"),
        frame({}, usage=USAGE).replace(b'"choices": [{', b'"choices": [], "unread": [{'),
        DONE,
    ]
)


class Refund(BaseModel):
    """How long money comes back."""

    days: int


class RefundDict(TypedDict):
    """How long money comes back."""

    days: int


@tool
def search(query: str) -> str:
    """Finds passages."""
    return query


class Tokens(AsyncCallbackHandler):
    """Notes what LangChain's callbacks are told."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.started: list[dict[str, Any]] = []
        self.failed: list[BaseException] = []

    async def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], **kwargs: Any
    ) -> None:
        self.started.append({**kwargs, "serialized": serialized})

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(str(token))

    async def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.failed.append(error)


def said_in_full(message: AIMessage) -> None:
    assert message.text == "Thirty days"
    assert message.additional_kwargs == {"reasoning_content": "Let me see."}
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
    assert message.usage_metadata == COUNTED
    known = message.response_metadata
    assert (known["finish_reason"], known["model_name"]) == ("stop", "served")
    assert known["system_fingerprint"] == "fp_1"


async def test_a_whole_reply_has_text_reasoning_usage_and_metadata() -> None:
    async with byte_server(FULL) as server, lean_client(server.url) as model:
        reply = await model.ainvoke("How long?")
    said_in_full(reply)


async def test_a_streamed_reply_adds_up_to_the_same() -> None:
    async with byte_server(FULL) as server, lean_client(server.url) as model:
        chunks = [chunk async for chunk in model.astream("How long?")]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    said_in_full(whole)
    assert whole.chunk_position == "last"
    assert len({chunk.id for chunk in chunks}) == 1


async def test_callbacks_hear_tokens_usage_and_names() -> None:
    tokens = Tokens()
    async with byte_server(FULL) as server, lean_client(server.url) as model:
        with get_usage_metadata_callback() as usage:
            async for _ in model.astream("How long?", {"callbacks": [tokens]}):
                pass
    assert "".join(tokens.tokens) == "Thirty days"
    assert usage.usage_metadata == {"served": COUNTED}
    [started] = tokens.started
    assert started["metadata"]["ls_provider"] == "openai-compatible"
    assert started["metadata"]["ls_model_name"] == "some-model"
    assert started["serialized"]["name"] == "LeanChat"
    assert KEY not in str(started)


async def test_an_error_reaches_the_callbacks_and_the_caller() -> None:
    tokens = Tokens()
    cut = Bytes(writes=[frame({"content": "Thir"}), DONE])
    async with byte_server(cut) as server, lean_client(server.url) as model:
        with pytest.raises(Exception, match="before its reply was complete") as caught:
            await model.ainvoke("How long?", {"callbacks": [tokens]})
    assert tokens.failed == [caught.value]


async def test_a_graph_streams_its_tokens() -> None:
    class State(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    async with byte_server(FULL) as server, lean_client(server.url) as model:

        async def answer(state: State) -> dict[str, Any]:
            return {"messages": [await model.ainvoke(state["messages"])]}

        graph = StateGraph(State)
        graph.add_node("answer", answer)
        graph.add_edge(START, "answer")
        graph.add_edge("answer", END)
        given: Any = {"messages": [HumanMessage("How long?")]}
        streamed = [
            part[0].text
            async for part in graph.compile().astream(given, stream_mode="messages")
            if isinstance(part, tuple) and isinstance(part[0], AIMessageChunk)
        ]
    # In as many pieces as it came in: what arrives together is told together.
    assert "".join(streamed) == "Thirty days"


@pytest.mark.parametrize("streamed", [True, False])
async def test_bound_tools_are_called(streamed: bool) -> None:
    deltas: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "function": {"name": "search", "arguments": '{"query'}},
        {"index": 0, "function": {"arguments": '": "plan"}'}},
        {"index": 1, "id": "b", "function": {"name": "search", "arguments": '["no object"'}},
        {"index": 1, "function": {"arguments": "]"}},
    ]
    writes = [frame({"tool_calls": [delta]}) for delta in deltas]
    reply: Any = None
    async with byte_server(Bytes(writes=[*writes, *says()])) as server:
        async with lean_client(server.url) as model:
            bound = model.bind_tools(
                [search], tool_choice="search", parallel_tool_calls=True, strict=True
            )
            if streamed:
                async for chunk in bound.astream("Plan?"):
                    reply = chunk if reply is None else reply + chunk
            else:
                reply = await bound.ainvoke("Plan?")
        body = server.asked[0].body
    assert [(call["name"], call["args"], call["id"]) for call in reply.tool_calls] == [
        ("search", {"query": "plan"}, "a")
    ]
    assert [call["id"] for call in reply.invalid_tool_calls] == ["b"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "search"}}
    assert body["tools"][0]["function"]["strict"] is True
    assert body["parallel_tool_calls"] is True


@pytest.mark.parametrize(
    ("asked", "sent"),
    [("any", "required"), (True, "required"), ("auto", "auto"), ("none", "none"), (None, None)],
)
async def test_tool_choice_is_sent_in_openais_words(asked: Any, sent: str | None) -> None:
    async with byte_server(Bytes(writes=says("x"))) as server:
        async with lean_client(server.url) as model:
            await model.bind_tools([search], tool_choice=asked).ainvoke("Plan?")
            with pytest.raises(ValueError, match="nothing"):
                model.bind_tools([search], tool_choice="nothing")
        assert server.asked[0].body.get("tool_choice") == sent


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
@pytest.mark.parametrize("schema", [Refund, RefundDict, Refund.model_json_schema()])
async def test_structured_output_is_of_its_schema(schema: Any, method: Method) -> None:
    text = '{"days": 30}'
    call = {"index": 0, "id": "a", "function": {"name": "Refund", "arguments": text}}
    if schema is RefundDict:
        call["function"] = {"name": "RefundDict", "arguments": text}
    delta = {"tool_calls": [call]} if method == "function_calling" else {"content": text}
    async with byte_server(Bytes(writes=[frame(delta), *says()])) as server:
        async with lean_client(server.url) as model:
            found = await model.with_structured_output(schema, method=method).ainvoke("Plan?")
        body = server.asked[0].body
    assert found == (Refund(days=30) if schema is Refund else {"days": 30})
    if method == "json_schema":
        assert body["response_format"]["json_schema"]["schema"]["required"] == ["days"]
    elif method == "json_mode":
        assert body["response_format"] == {"type": "json_object"}
    else:
        assert body["tool_choice"] == "required"


async def test_structured_output_gives_the_raw_message_beside_what_is_wrong() -> None:
    async with byte_server(Bytes(writes=says("thirty"))) as server:
        async with lean_client(server.url) as model:
            asked = model.with_structured_output(Refund, include_raw=True, strict=True)
            found = await asked.ainvoke("Plan?")
        assert server.asked[0].body["response_format"]["json_schema"]["strict"] is True
    assert isinstance(found, dict)
    assert (found["raw"].text, found["parsed"]) == ("thirty", None)
    assert isinstance(found["parsing_error"], ValueError)


async def test_options_are_sent_as_they_are_and_the_specs_are_the_default() -> None:
    async with byte_server(*[Bytes(writes=says("x"))] * 2) as server:
        changes = {"max_output": 77, "temperature": None, "extra_body": {"top_k": 1}}
        async with lean_client(server.url, **changes) as model:
            await model.ainvoke("Plan?")
            options: dict[str, Any] = {
                "max_tokens": 5,
                "temperature": 0.5,
                "logprobs": True,
                "n": 1,
            }
            await model.ainvoke("Plan?", stop=["END"], stream_usage=False, **options)
        plain, full = (asked.body for asked in server.asked)
    assert plain == {
        "model": "some-model",
        "messages": [{"role": "user", "content": "Plan?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 77,
        "top_k": 1,
    }
    assert full == {
        **{name: value for name, value in plain.items() if name != "stream_options"},
        **options,
        "stop": ["END"],
    }


async def test_log_probabilities_are_passed_on_in_order() -> None:
    tokens = [frame({"content": each["content"][0]["token"]}) for each in LOGPROBS]
    name = b'"finish_reason"'
    writes = [
        each.replace(name, b'"logprobs": ' + json.dumps(known).encode() + b", " + name)
        for each, known in zip(tokens, LOGPROBS, strict=True)
    ]
    reply = Bytes(writes=[*writes, *says()])
    async with byte_server(reply, reply) as server, lean_client(server.url) as model:
        whole = await model.ainvoke("How long?", logprobs=True)
        chunks = [chunk async for chunk in model.astream("How long?", logprobs=True)]
    streamed = chunks[0]
    for chunk in chunks[1:]:
        streamed += chunk
    for found in (whole, streamed):
        known = found.response_metadata["logprobs"]["content"]
        assert [each["token"] for each in known] == ["Thirty", " days"]


async def test_what_it_cannot_do_is_said_at_once() -> None:
    async with lean_client("http://127.0.0.1:9/v1") as model:
        with pytest.raises(NotImplementedError, match="async"):
            model.invoke("Plan?")
        with pytest.raises(ValueError, match="n:"):
            await model.ainvoke("Plan?", n=2)
        with pytest.raises(ValueError, match="type odd"):
            await model.ainvoke([_Odd(content="x")])


class _Odd(BaseMessage):
    type: str = "odd"


async def test_messages_of_every_kind_are_sent_in_openais_form() -> None:
    image = {"type": "image", "url": "https://example.com/plan.png"}
    broken = InvalidToolCall(
        name="search", args="{", id="b", error="no JSON", type="invalid_tool_call"
    )
    call = ToolCall(name="search", args={"big": 2**70, "q": "\ud800"}, id="a", type="tool_call")
    history = [
        SystemMessage("Be brief."),
        HumanMessage([{"type": "text", "text": "This?"}, image], name="anna"),
        AIMessage("", tool_calls=[call], invalid_tool_calls=[broken]),
        ToolMessage([{"type": "text", "text": "30"}], tool_call_id="a", name="search"),
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Yes."}]),
        ChatMessage(content="Now.", role="developer"),
    ]
    async with byte_server(Bytes(writes=says("x"))) as server:
        async with lean_client(server.url) as model:
            await model.ainvoke(history)
        sent = server.asked[0].body["messages"]
    arguments = json.dumps({"big": 2**70, "q": "\ud800"})
    assert sent == [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "name": "anna",
            "content": [
                {"type": "text", "text": "This?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/plan.png"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "type": "function",
                    "id": "a",
                    "function": {"name": "search", "arguments": arguments},
                },
                {"type": "function", "id": "b", "function": {"name": "search", "arguments": "{"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "30"},
        {"role": "assistant", "content": "Yes."},
        {"role": "developer", "content": "Now."},
    ]


def test_the_other_client_is_not_imported_where_it_is_not_chosen() -> None:
    code = (
        "import sys; from models import chat, registry; "
        "spec = registry.ModelSpec(name='m', model='m', url='http://localhost:9/v1', "
        "tools=registry.ToolMode.NATIVE); chat.build(spec); "
        "print(sorted({'openai', 'langchain_openai'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
