"""The scripted model fails on what was not foreseen and on what was not used."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage

from models.errors import RateLimited
from models.scripted import Scripted, ScriptedModel, UnexpectedCall, UnusedSteps
from tests.models.chatting import SEARCH, Cited, NotingGate

ASK = [HumanMessage("How long may I return a plan?")]
SEARCHES = Scripted(agent="researcher", calls=(("search_documents", {"query": "plan"}),))


async def test_steps_are_taken_in_order() -> None:
    with ScriptedModel(steps=[SEARCHES, Scripted(answer="30 days")]) as model:
        first = await model.call(ASK, tools=[SEARCH], agent="researcher")
        second = await model.call(ASK, tools=[SEARCH], agent="researcher")
    assert first.message.tool_calls[0]["args"] == {"query": "plan"}
    assert second.message.content == "30 days"


async def test_a_typed_answer_is_given_as_an_object() -> None:
    with ScriptedModel(steps=[Scripted(answer={"text": "30", "sources": [1]})]) as model:
        assert (await model.call(ASK, answer=Cited)).answer == {"text": "30", "sources": [1]}


async def test_branches_find_their_own_steps_whatever_their_order() -> None:
    steps = [Scripted(contains="red", answer="1"), Scripted(contains="blue", answer="2")]
    with ScriptedModel(steps=steps) as model:
        blue = await model.call([HumanMessage("blue?")], agent="researcher")
        red = await model.call([HumanMessage("red?")], agent="researcher")
    assert (red.message.content, blue.message.content) == ("1", "2")


async def test_an_unexpected_call_shows_what_was_asked_and_what_was_expected() -> None:
    model = ScriptedModel(steps=[SEARCHES])
    with pytest.raises(UnexpectedCall) as caught:
        await model.call(ASK, agent="critic")
    assert "agent='critic'" in str(caught.value)
    assert "agent='researcher'" in str(caught.value)


async def test_a_call_beyond_the_script_is_unexpected() -> None:
    with pytest.raises(UnexpectedCall, match="nothing more"):
        await ScriptedModel(steps=[]).call(ASK)


def test_an_unused_step_is_told() -> None:
    with (
        pytest.raises(UnusedSteps, match="researcher"),
        ScriptedModel(steps=[SEARCHES]),
    ):
        pass


def test_a_failed_test_is_not_hidden_by_unused_steps() -> None:
    with (
        pytest.raises(KeyError, match="mine"),
        ScriptedModel(steps=[SEARCHES]),
    ):
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (Scripted(calls=(("delete", {}),)), "delete"),
        (Scripted(calls=(("search_documents", {"limit": 2}),)), "query"),
        (Scripted(answer={"text": "30"}), "object where text"),
    ],
)
async def test_a_script_that_no_model_could_follow_is_refused(step: Scripted, says: str) -> None:
    with pytest.raises(UnexpectedCall, match=says):
        await ScriptedModel(steps=[step]).call(ASK, tools=[SEARCH])


async def test_an_error_is_raised_and_settled() -> None:
    gate = NotingGate()
    with (
        ScriptedModel(steps=[Scripted(error=RateLimited("429"))]) as model,
        pytest.raises(RateLimited),
    ):
        await model.call(ASK, gate=gate)
    assert [(usage.input_tokens, ok) for usage, _, ok in gate.settled] == [(0, False)]


async def test_usage_and_cost_are_plausible_and_settled() -> None:
    gate = NotingGate()
    with ScriptedModel(steps=[Scripted(answer="thirty days")], price=10.0) as model:
        reply = await model.call(ASK, gate=gate)
    assert reply.usage.input_tokens > 5
    assert reply.usage.output_tokens >= 3
    assert reply.cost == pytest.approx(
        (reply.usage.input_tokens + reply.usage.output_tokens) * 10 / 1e6
    )
    assert gate.settled == [(reply.usage, reply.cost, True)]


def test_a_step_says_exactly_one_thing() -> None:
    with pytest.raises(ValueError, match="exactly one"):
        Scripted(agent="researcher")
