"""An agent that goes round in circles is nudged, and stopped when that does not help."""

from __future__ import annotations

from dataclasses import replace

from agents import roster
from graphs import events
from models.scripted import Scripted, ScriptedModel
from tests.graphs.asking_house import Desk


def again(times: int) -> list[Scripted]:
    """Wants the same call that often."""
    return [Scripted(agent="researcher", calls=(("update_ticket", {"text": "x"}),))] * times


def patient(desk: Desk) -> Desk:
    """An agent with steps enough to go round."""
    found = desk.executor._agents
    found["researcher"] = replace(found["researcher"], max_steps=20)
    assert "researcher" in roster.build()
    return desk


async def test_the_same_call_again_is_nudged_and_then_stopped_with_a_reason() -> None:
    with ScriptedModel(steps=again(4)) as model:
        desk = patient(Desk(model))
        outcome = await desk.run()
    assert isinstance(outcome, events.RunFinished)
    assert outcome.stop_reason == "loop"
    assert "went round in circles" in outcome.answer
    assert [event.stopped for event in desk.told(events.LoopNoticed)] == [False, True]
    assert len(desk.world.did) == 1


async def test_a_nudged_model_that_goes_on_is_not_stopped() -> None:
    steps = [
        *again(2),
        Scripted(agent="researcher", contains="Go on from that result", answer="It is done."),
    ]
    with ScriptedModel(steps=steps) as model:
        outcome = await patient(Desk(model)).run()
    assert isinstance(outcome, events.RunFinished)
    assert outcome.answer == "It is done."
