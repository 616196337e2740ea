"""What Counterpoint relies on, of real vLLM: on the CPU, with the 0.5B model.

Made ready by `scripts/vllm-cpu`; skipped without it. Loading takes a minute, on a busy machine
several.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from pydantic import SecretStr

from models import lean, vllm_metrics
from models.chat import EndpointModel, build
from models.errors import ModelError, StreamCut
from models.native import Native
from models.pieces import Piece, Usage, Written
from models.registry import ModelSpec, ToolMode
from models.schema import Answer, Step
from models.scripted import Scripted, ScriptedModel
from tests.graphs.team_house import House
from tests.models.vllm import serving
from tests.models.vllm.serving import KEY, Vllm
from tools.sandbox.scripted import ScriptedSandbox, finished

pytestmark = [pytest.mark.local_model, pytest.mark.timeout(1800)]

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 30}},
            "required": ["city"],
        },
    },
}
# The model seldom writes the tags by itself; that vLLM reads them is what is tried.
TAGGED = (
    r"<tool_call>\n\{\"name\": \"get_weather\", \"arguments\": \{\"city\": \"[A-Z][a-z]{1,12}\"\}\}"
    r"\n</tool_call>"
)
ASKED = [HumanMessage("What is the weather in Paris?")]


@pytest.fixture(scope="module")
def vllm(small_chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vllm]:
    if not serving.made():
        pytest.skip("no vLLM here: run scripts/vllm-cpu")
    weights = serving.converted(small_chat_model)
    server = Vllm(weights, lora=serving.adapter(tmp_path_factory.mktemp("lora") / "unchanged"))
    server.start()
    yield server
    pids = server.pids()
    assert server.close() == 0, "".join(server.said[-20:])
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def spec(vllm: Vllm, **given: Any) -> ModelSpec:
    known: dict[str, Any] = {
        "name": "small",
        "model": "small",
        "url": f"{vllm.address}/v1",
        "key": SecretStr(KEY),
        "context": 4096,
        "max_output": 64,
        "input_price": 0.0,
        "output_price": 0.0,
        "timeout": 600.0,
        "tools": ToolMode.NATIVE,
    }
    return ModelSpec(**known | given)


@pytest.fixture
async def client(vllm: Vllm) -> AsyncIterator[lean.LeanChat]:
    client = lean.connect(spec(vllm))
    yield client
    await client.aclose()


@pytest.fixture
async def model(vllm: Vllm) -> AsyncIterator[EndpointModel]:
    model = build(spec(vllm))
    yield model
    await model.aclose()


async def written(
    client: lean.LeanChat, messages: Sequence[BaseMessage], **options: Any
) -> Written:
    whole = Written()
    async for piece in client.pieces(messages, **options):
        whole.add(piece)
    return whole


async def metrics(vllm: Vllm) -> vllm_metrics.EngineMetrics:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
        told = vllm_metrics.parse((await http.get(f"{vllm.address}/metrics")).text)
    assert told is not None
    return told


async def test_a_native_tool_call_that_has_to_be_made(model: EndpointModel) -> None:
    reply = await model.call(ASKED, tools=[WEATHER], tool_choice="required")
    (call,) = reply.message.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})


async def test_the_hermes_parser_makes_a_call_of_tagged_text(client: lean.LeanChat) -> None:
    reply = await written(
        client, ASKED, tools=[WEATHER], extra_body={"structured_outputs": {"regex": TAGGED}}
    )
    (call,) = reply.calls
    assert call.name == "get_weather"
    assert set(json.loads(call.args)) == {"city"}
    assert reply.finish == "tool_calls"
    assert "<tool_call>" not in reply.text


async def test_a_schema_holds_the_model_to_it(vllm: Vllm) -> None:
    model = build(spec(vllm, tools=ToolMode.CONSTRAINED))
    try:
        step = await model.call(ASKED, tools=[WEATHER], tool_choice="required")
        assert step.message.tool_calls[0]["name"] == "get_weather"
        fields = {"city": {"type": "string", "maxLength": 30}, "sure": {"type": "boolean"}}
        schema = {"type": "object", "properties": fields, "required": ["city", "sure"]}
        reply = await model.call([HumanMessage("A city in France?")], answer=schema)
    finally:
        await model.aclose()
    assert reply.answer is not None
    assert isinstance(reply.answer["sure"], bool)
    assert isinstance(reply.answer["city"], str)


async def test_a_stream_comes_token_by_token_and_ends_with_its_usage(
    client: lean.LeanChat,
) -> None:
    pieces: list[Piece] = []
    async for piece in client.pieces([HumanMessage("Count from one to five.")], max_tokens=12):
        pieces.append(piece)
    assert sum(bool(piece.text) for piece in pieces) > 4
    usage = [piece.usage for piece in pieces if piece.usage]
    assert isinstance(usage[-1], Usage)
    assert usage[-1].input_tokens > 10
    assert 4 < usage[-1].output_tokens <= 12


async def test_adapters_are_listed_and_asked_by_their_names(vllm: Vllm) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(trust_env=False, timeout=60, headers=headers) as http:
        listed = (await http.get(f"{vllm.address}/v1/models")).json()["data"]
    assert {one["id"]: one["parent"] for one in listed} == {"small": None, "unchanged": "small"}
    question = [HumanMessage("Say the word yes.")]
    said = []
    for name in ("small", "unchanged"):
        client = lean.connect(spec(vllm, model=name))
        try:
            said.append((await written(client, question, max_tokens=5)).text)
        finally:
            await client.aclose()
    assert said[0] == said[1]


async def test_without_the_key_nobody_gets_in(vllm: Vllm) -> None:
    client = lean.connect(spec(vllm, key=None))
    with pytest.raises(ModelError, match="key"):
        await written(client, ASKED, max_tokens=1)
    await client.aclose()


async def test_its_metrics_are_read(vllm: Vllm, client: lean.LeanChat) -> None:
    before = await metrics(vllm)
    reply = await written(client, [HumanMessage("Good evening.")], max_tokens=4)
    after = await metrics(vllm)
    assert reply.usage is not None
    assert before.prompt_tokens is not None
    assert after.prompt_tokens is not None
    assert after.prompt_tokens - before.prompt_tokens == reply.usage.input_tokens
    assert (after.running, after.waiting) == (0, 0)
    assert after.kv_cache is not None
    assert 0 <= after.kv_cache < 1


@dataclass(kw_only=True)
class Followed(ScriptedModel):
    """Says what is scripted; what it is asked goes to vLLM as well, for one token."""

    vllm: Vllm
    client: lean.LeanChat
    hits: list[tuple[str, float, int]] = field(default_factory=list)
    """Of each call: whose it was, tokens that the prefix cache had, and tokens of the prompt."""

    async def call(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        answer: Answer | None = None,
        agent: str = "",
        **more: Any,
    ) -> Any:
        required = more.get("tool_choice") == "required"
        step = Step(tools=tuple(tools), answer=answer, must_call=required)
        request = Native().request(messages, step)
        before = (await metrics(self.vllm)).prefix_hits
        whole = await written(self.client, request.messages, **request.options, max_tokens=1)
        after = (await metrics(self.vllm)).prefix_hits
        assert before is not None
        assert after is not None
        assert whole.usage is not None
        self.hits.append((agent, after - before, whole.usage.input_tokens))
        return await super().call(messages, tools=tools, answer=answer, agent=agent, **more)


async def test_the_second_step_of_an_agent_finds_its_prompt_in_the_prefix_cache(
    vllm: Vllm, client: lean.LeanChat
) -> None:
    """By vLLM's own counters: system text, tools and question are read once, not each step."""
    with Followed(
        steps=[
            Scripted(agent="coder", calls=(("run_python", {"code": "print(28 * 30)"}),)),
            Scripted(agent="coder", calls=(("run_python", {"code": "print(28 * 31)"}),)),
            Scripted(agent="coder", answer="It is 868."),
        ],
        vllm=vllm,
        client=client,
    ) as model:
        sandbox = ScriptedSandbox([finished("840\n"), finished("868\n")])
        house = House(model, sandbox=sandbox, seconds=1500.0)
        await house.answered("What is 28 times 31?", agent="coder")
    steps = [(hit, prompt) for agent, hit, prompt in model.hits if agent == "coder"]
    assert len(steps) == 3
    for (_, earlier), (hit, _) in pairwise(steps):
        # The cache keeps whole blocks, on a CPU of 128 tokens.
        assert hit >= earlier // 128 * 128 > 0, model.hits


async def test_a_restart_in_mid_stream_is_a_cut_and_the_next_call_is_answered(vllm: Vllm) -> None:
    client = lean.connect(spec(vllm))
    heard = asyncio.Event()

    async def listen() -> None:
        story = [SystemMessage("You tell long stories."), HumanMessage("Tell me one.")]
        async for piece in client.pieces(story, max_tokens=2000, extra_body={"ignore_eos": True}):
            if piece.text:
                heard.set()

    try:
        listening = asyncio.create_task(listen())
        await asyncio.wait_for(heard.wait(), 300)
        await asyncio.to_thread(vllm.kill)
        with pytest.raises(ModelError) as cut:
            await listening
        assert isinstance(cut.value, StreamCut)
        assert cut.value.retryable
        await asyncio.to_thread(vllm.start)
        reply = await written(client, [HumanMessage("Say hello.")], max_tokens=4)
        assert reply.usage is not None
    finally:
        await client.aclose()
