"""What a run of the team has heard of its end is what one finds who looks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langgraph.types import StateSnapshot

from graphs import events, team
from graphs.scoped_saver import Saved
from models.scripted import Scripted, ScriptedModel
from server.heard_head import HeardHead
from server.runs.asked import of_messages
from server.runs.record import RunRecord
from tests.graphs.team_house import PLAN_RESEARCH, SUPPORTED, House

QUESTION = "How long can I return a plan?"
REPLY = {"move": "reply", "text": "Good morning!", "tasks": []}


def planned(answer: Any = PLAN_RESEARCH) -> Scripted:
    return Scripted(agent="coordinator", answer=answer)


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[StateSnapshot | None]:
    """What was heard of each end."""
    found: list[StateSnapshot | None] = []
    ended = HeardHead.ended

    def noted(self: HeardHead, record: RunRecord) -> StateSnapshot | None:
        found.append(ended(self, record))
        return found[-1]

    monkeypatch.setattr(HeardHead, "ended", noted)
    return found


async def looked_at(house: House) -> StateSnapshot:
    async with house.registry.open(team.TEAM, tenant="default", thread_id="thread") as graph:
        return await graph.aget_state({"configurable": {"thread_id": "thread"}})


ANSWERED = [
    planned(),
    Scripted(agent="researcher", answer="Within 45 days [1]."),
    Scripted(agent="critic", answer=SUPPORTED),
]


@pytest.mark.parametrize(
    ("steps", "maxima"),
    [
        (ANSWERED, {}),
        ([planned(REPLY)], {}),
        ([planned()], {"steps": 1}),
    ],
    ids=["answered", "small talk", "stopped by a limit"],
)
async def test_an_end_that_was_heard_is_the_one_that_is_stored(
    steps: list[Scripted], maxima: dict[str, Any], heard: list[StateSnapshot | None]
) -> None:
    with ScriptedModel(steps=[*steps, *steps]) as model:
        house = House(model, **maxima)
        for _ in range(2):
            outcome = await house.run(QUESTION)
            seen, there = heard[-1], await looked_at(house)
            assert isinstance(outcome, events.RunFinished)
            assert seen is not None
            assert (seen.values, seen.next, seen.interrupts) == (
                there.values,
                there.next,
                there.interrupts,
            )
            assert outcome.checkpoint_id == there.config["configurable"]["checkpoint_id"]


async def test_what_was_not_heard_is_looked_for() -> None:
    record = RunRecord(run_id="r", thread_id="t", asked=of_messages([]))
    answer = AIMessage("Yes.", id=team.answer_id("r"))
    head = HeardHead(hear=lambda saved: None)
    assert head.ended(record) is None
    head.saved(Saved(checkpoint_id="c", step=1, seconds=0.0))
    head.values = {"messages": [AIMessage("Yes.", id=team.answer_id("another"))]}
    assert head.ended(record) is None
    head.values = {"messages": [answer], "__interrupt__": ()}
    assert head.ended(record) is None
    head.values = {"messages": [answer]}
    assert head.ended(record) is not None
    asked = replace(record.asked, interrupt_after="*")
    assert head.ended(replace(record, asked=asked)) is None
