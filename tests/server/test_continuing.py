"""A run that a limit has stopped answers with what it has, and goes on when an operator says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from guardrails import policy
from models.scripted import Scripted, ScriptedModel
from tests.server.people import LIMITS, at_work
from tests.server.surface import Parts


def two_steps() -> ScriptedModel:
    return ScriptedModel(
        steps=[
            Scripted(agent="researcher", calls=(("update_ticket", {"text": "hello"}),)),
            Scripted(agent="researcher", contains="update_ticket done", answer="It is done."),
        ]
    )


async def test_a_stopped_run_goes_on_from_where_it_stopped_with_its_spending_counted_on(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    with two_steps() as model:
        async with at_work(parts, redis, keys, model, most=replace(LIMITS, steps=1)) as people:
            values = await people.ask()
            message = values["messages"][-1]
            assert message["additional_kwargs"]["stop_reason"] == "max_steps"
            assert [name for name, _ in people.world.did] == ["update_ticket"]
            stopped = await people.over()
            url = f"/runs/{stopped.run_id}/continue"
            for limits, status in [
                ({"max_steps": 1}, 422),
                ({"max_steps": 5.5}, 422),
                ({"max_tokens": 5_000_000}, 422),
                ({"max_nonsense": 5}, 422),
            ]:
                reply = await people.client.post(url, json={"limits": limits})
                assert reply.status_code == status, reply.text
            reply = await people.client.post(url, json={"limits": {"max_steps": 5}})
            assert reply.status_code == 200
            made = await people.over()
            assert made.run_id == reply.json()["run_id"] != stopped.run_id
            assert made.result["answer"] == "It is done."
            assert made.result["usage"]["model_calls"] == 2
            assert made.result["usage"]["steps"] == 2
            said = [one["content"] for one in (await people.values())["messages"]]
            assert said == ["Refund order 7", "It is done."]
            again = await people.client.post(url, json={"limits": {"max_steps": 9}})
            assert again.status_code == 409
    assert [name for name, _ in people.world.did] == ["update_ticket"]
    (line,) = [one async for one in parts.audit.entries("default")]
    assert line.fields["kind"] == "limit_raised"
    assert (line.fields["args_before"], line.fields["args_after"]) == (
        {"max_steps": 1},
        {"max_steps": 5},
    )


async def test_a_run_that_was_not_stopped_cannot_be_continued(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    with two_steps() as model:
        async with at_work(parts, redis, keys, model) as people:
            await people.ask()
            done = await people.over()
            url = f"/runs/{done.run_id}/continue"
            reply = await people.client.post(url, json={"limits": {"max_steps": 50}})
    assert reply.status_code == 409
    assert "was not stopped by a limit" in reply.json()["detail"]


ASKING = policy.Terms(self_approval=True)


@pytest.mark.parametrize("wire", [False, True])
async def test_where_operators_are_asked_a_stopped_run_waits_in_the_queue_for_a_higher_limit(
    parts: Parts, redis: Redis, keys: Keys, *, wire: bool
) -> None:
    with two_steps() as model:
        most = replace(LIMITS, steps=1)
        async with at_work(parts, redis, keys, model, most=most, limit_terms=ASKING) as people:
            told = await people.ask()
            (one,) = await people.waiting()
            assert told["__interrupt__"][0]["id"] == one.interrupt_id
            assert (one.kind, one.tool, one.args) == ("limit", "raise_limit", {"max_steps": 2})
            # What it has is there already.
            assert "limit of steps" in (await people.values())["messages"][-1]["content"]
            if wire:
                await people.answer({"decisions": [{"type": "approve"}]})
            else:
                await people.decide(one, "edit", args={"max_steps": "7"})
            record = await people.over()
            assert (record.status, record.result["answer"]) == ("success", "It is done.")
            assert record.result["usage"]["steps"] == 2
    assert [name for name, _ in people.world.did] == ["update_ticket"]


async def test_a_limit_that_nobody_raises_leaves_the_answer_as_it_is(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    steps = [Scripted(agent="researcher", calls=(("update_ticket", {"text": "hello"}),))]
    with ScriptedModel(steps=steps) as model:
        most = replace(LIMITS, steps=1)
        async with at_work(parts, redis, keys, model, most=most, limit_terms=ASKING) as people:
            await people.ask()
            (one,) = await people.waiting()
            await people.decide(one, "reject")
            record = await people.over()
    assert (record.status, record.result["stop_reason"]) == ("success", "max_steps")
    assert "limit of steps" in record.result["answer"]


async def test_a_raised_limit_holds_for_one_raise_and_is_asked_about_again(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    steps = [
        Scripted(agent="researcher", calls=(("update_ticket", {"text": text}),))
        for text in ("one", "two", "three")
    ]
    with ScriptedModel(steps=[*steps[:2]]) as model:
        most = replace(LIMITS, steps=1)
        async with at_work(parts, redis, keys, model, most=most, limit_terms=ASKING) as people:
            await people.ask()
            (one,) = await people.waiting()
            await people.decide(one)
            assert (await people.over()).status == "interrupted"
            (another,) = await people.waiting()
            assert another.args == {"max_steps": 4}
            assert len(model.asked) == 2
