"""Limits and resumption: a run ends with what it has, and goes on where it stood."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from graphs import events
from models.attempts import TokenUsage
from models.chat import Reply
from models.scripted import Scripted, ScriptedModel
from tests.graphs.team_house import PLAN_RESEARCH, REFUND, SUPPORTED, House, passage

QUESTION = "How long can I return a plan?"


def plan(usage: TokenUsage | None = None) -> Scripted:
    return Scripted(agent="coordinator", answer=PLAN_RESEARCH, usage=usage)


async def test_the_limit_of_steps_gives_the_passages_that_were_found() -> None:
    with ScriptedModel(steps=[plan()]) as model:
        house = House(model, steps=1)
        outcome = await house.answered(QUESTION)
    assert outcome.stop_reason == "max_steps"
    assert "limit of steps" in outcome.answer
    assert [source.source for source in outcome.sources] == ["handbook/plans.md"]
    reached = [event for event in house.events if isinstance(event, events.LimitReached)]
    assert [(one.limit, one.used, one.maximum) for one in reached] == [("max_steps", 1, 1)]


async def test_the_limit_before_the_critic_keeps_the_draft() -> None:
    with ScriptedModel(
        steps=[plan(), Scripted(agent="researcher", answer="Within 45 days.")]
    ) as model:
        outcome = await House(model, steps=2).answered(QUESTION)
    assert outcome.stop_reason == "max_steps"
    assert outcome.answer.endswith("What I have so far: Within 45 days [1].")
    assert len(outcome.sources) == 1


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        ("Within 45 days. There is a fee of 12 EUR.", "What I have so far: Within 45 days [1]."),
        ("Within 12 days.", "The passages that fit the question best are listed as sources."),
    ],
)
async def test_the_limit_after_the_critic_keeps_nothing_that_it_refused(
    draft: str, told: str
) -> None:
    with ScriptedModel(steps=[plan(), Scripted(agent="researcher", answer=draft)]) as model:
        outcome = await House(model, steps=2).answered(QUESTION)
    assert outcome.stop_reason == "max_steps"
    assert outcome.answer.endswith(told)


@pytest.mark.parametrize(
    ("steps", "told"),
    [
        (1, "The passages that fit the question best are listed as sources."),
        (2, "What I have so far: Within 45 days [1]."),
        (3, "What I have so far: Within 45 days [1]. An annual plan in full [1]."),
    ],
)
async def test_a_limit_that_ends_several_agents_at_once_ends_the_run_with_what_it_has(
    steps: int, told: str
) -> None:
    parts = ["How long can I return a plan?", "How much is refunded?", "Who asks?"]
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", answer={**PLAN_RESEARCH, "tasks": parts}),
            Scripted(agent="researcher", answer="Within 45 days [1]."),
            Scripted(agent="researcher", answer="An annual plan in full [1]."),
        ][:steps]
    ) as model:
        house = House(model, steps=steps, found={"": [passage(REFUND, chunk_id="refund")]})
        outcome = await house.answered(" ".join(parts))
    assert (outcome.stop_reason, len(outcome.sources)) == ("max_steps", 1)
    assert outcome.answer.endswith(told)
    assert outcome.stopped is not None
    assert outcome.stopped.limit == "max_steps"


async def test_the_limit_before_the_critic_keeps_no_number_that_nothing_states() -> None:
    parts = ["How long can I return a plan?", "What does it cost?"]
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", answer={**PLAN_RESEARCH, "tasks": parts}),
            Scripted(agent="researcher", answer="Within 45 days. The fee is 12 EUR."),
            Scripted(agent="researcher", answer="NOT FOUND"),
        ]
    ) as model:
        outcome = await House(model, steps=3).answered(" ".join(parts))
    assert outcome.stop_reason == "max_steps"
    assert outcome.answer.endswith("What I have so far: Within 45 days [1].")


async def test_a_call_that_could_exceed_the_tokens_is_not_made() -> None:
    """Nothing is spent on it: the worst case is reserved before the attempt."""
    with ScriptedModel(steps=[]) as model:
        outcome = await House(model, tokens=200).answered(QUESTION)
    assert (outcome.stop_reason, outcome.usage.model_calls) == ("max_tokens", 0)


async def test_cost_is_counted_at_the_models_price_and_limited() -> None:
    dear = TokenUsage(input_tokens=900, output_tokens=100)
    with ScriptedModel(steps=[plan(dear)], price=1_000.0) as model:
        outcome = await House(model, cost=1.2).answered(QUESTION)
    assert outcome.stop_reason == "max_cost"
    assert outcome.usage.cost == pytest.approx(1.0)


class Stuck(ScriptedModel):
    """Never answers the researcher; ``reached`` tells that it was asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.reached = asyncio.Event()

    async def call(self, messages: Sequence[Any], **options: Any) -> Reply:
        if options.get("agent") == "researcher":
            self.reached.set()
            await asyncio.Event().wait()
        return await super().call(messages, **options)


async def test_a_model_that_never_answers_is_ended_by_the_time_limit() -> None:
    with Stuck(steps=[plan()]) as model:
        outcome = await House(model, seconds=0.2).answered(QUESTION)
    assert outcome.stop_reason == "max_seconds"
    assert len(outcome.sources) == 1


async def test_a_step_that_takes_too_long_ends_the_run_before_its_own_time() -> None:
    with Stuck(steps=[plan()]) as model:
        outcome = await House(model, step_seconds=0.2).answered(QUESTION)
    assert outcome.stop_reason == "max_step_seconds"
    assert "a step took too long" in outcome.answer
    assert outcome.stopped is not None
    assert outcome.stopped.maximum == 0.2
    assert len(outcome.sources) == 1


async def test_a_run_that_lost_its_worker_goes_on_from_its_last_step() -> None:
    """The plan is not made again, and what it cost still counts."""
    saver = InMemorySaver()
    with Stuck(steps=[plan(TokenUsage(input_tokens=70, output_tokens=7))]) as first:
        house = House(first, saver=saver)
        work = asyncio.create_task(house.run(QUESTION, run_id="r1"))
        async with asyncio.timeout(30):
            await first.reached.wait()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    with ScriptedModel(
        steps=[
            Scripted(agent="researcher", answer="Within 45 days."),
            Scripted(agent="critic", answer=SUPPORTED),
        ]
    ) as second:
        again = House(second, saver=saver)
        outcome = await again.answered(QUESTION, run_id="r1", token=2)
    assert outcome.answer == "Within 45 days [1]."
    assert again.asked == [], "the search was not made again"
    assert outcome.usage.model_calls == 3
    assert outcome.usage.input_tokens > 70


async def test_a_run_that_ended_just_before_its_worker_died_is_not_run_again() -> None:
    saver = InMemorySaver()
    with ScriptedModel(
        steps=[
            plan(),
            Scripted(agent="researcher", answer="Within 45 days."),
            Scripted(agent="critic", answer=SUPPORTED),
        ]
    ) as model:
        first = await House(model, saver=saver).answered(QUESTION, run_id="r1")
    with ScriptedModel(steps=[]) as silent:
        second = await House(silent, saver=saver).answered(QUESTION, run_id="r1", token=2)
    assert second.answer == first.answer
    assert second.usage.model_calls == 3


async def test_the_next_run_of_a_thread_starts_with_an_empty_ledger_and_no_old_findings() -> None:
    saver = InMemorySaver()
    for turn in (1, 2):
        with ScriptedModel(
            steps=[
                plan(),
                Scripted(agent="researcher", answer="Within 45 days."),
                Scripted(agent="critic", answer=SUPPORTED),
            ]
        ) as model:
            house = House(model, saver=saver)
            outcome = await house.answered(QUESTION, run_id=f"r{turn}")
        assert outcome.usage.model_calls == 3
        assert len(outcome.sources) == 1
