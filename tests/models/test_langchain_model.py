"""Any chat model of ours serves where LangChain's interface is asked for."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage

from models.langchain_model import LangChainModel
from models.registry import ToolMode
from models.scripted import Scripted, ScriptedModel
from tests.doubles.openai_endpoint import Fails, OpenAIEndpoint
from tests.models.chatting import MODES, SEARCH, Cited, NotingGate, calls, model_of


@pytest.mark.parametrize("mode", MODES)
async def test_bound_tools_are_called_through_retries_and_the_gate(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(Fails(status=500), calls(mode, {"query": "plan"}))
    gate = NotingGate()
    async with model_of(openai_endpoint, mode) as model:
        bound = LangChainModel(model=model, gate=gate).bind_tools([SEARCH])
        reply = await bound.ainvoke("How long?")
    assert isinstance(reply, AIMessage)
    assert reply.tool_calls[0]["args"] == {"query": "plan"}
    assert reply.usage_metadata is not None
    assert len(gate.settled) == 2


async def test_structured_output_is_the_pydantic_model() -> None:
    with ScriptedModel(steps=[Scripted(answer={"text": "30", "sources": [1]})]) as model:
        cited = await LangChainModel(model=model).with_structured_output(Cited).ainvoke("Plan?")
    assert cited == Cited(text="30", sources=[1])


async def test_a_stream_gives_the_whole_reply() -> None:
    with ScriptedModel(steps=[Scripted(answer="thirty days")]) as model:
        chunks = [str(c.text) async for c in LangChainModel(model=model).astream("Plan?")]
    assert "".join(chunks) == "thirty days"


async def test_a_chosen_tool_is_the_only_one_offered() -> None:
    other = {"type": "function", "function": {"name": "other", "parameters": {}}}
    call = Scripted(calls=(("search_documents", {"query": "x"}),))
    with ScriptedModel(steps=[call]) as model:
        bound = LangChainModel(model=model).bind_tools(
            [SEARCH, other], tool_choice="search_documents"
        )
        await bound.ainvoke("Plan?")
        assert model.asked[0].tools == ("search_documents",)
    with pytest.raises(ValueError, match="nothing"):
        LangChainModel(model=model).bind_tools([SEARCH], tool_choice="nothing")
