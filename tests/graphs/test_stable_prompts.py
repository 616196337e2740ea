"""Prompts keep their beginning, so that a server's prefix cache answers for it."""

from __future__ import annotations

from itertools import pairwise

from langchain_core.messages import SystemMessage

from models.scripted import Asked, Scripted, ScriptedModel
from tests.graphs.team_house import House
from tools.sandbox.scripted import ScriptedSandbox, finished


async def computed(*, run_id: str) -> list[Asked]:
    with ScriptedModel(
        steps=[
            Scripted(agent="coder", calls=(("run_python", {"code": "print(28 * 30)"}),)),
            Scripted(agent="coder", calls=(("run_python", {"code": "print(28 * 31)"}),)),
            Scripted(agent="coder", answer="It is 868."),
        ]
    ) as model:
        house = House(model, sandbox=ScriptedSandbox([finished("840\n"), finished("868\n")]))
        await house.run("What is 28 times 31?", agent="coder", run_id=run_id)
    return model.asked


async def test_each_step_of_an_agent_begins_with_the_whole_step_before() -> None:
    steps = [one for one in await computed(run_id="one") if one.agent == "coder"]
    assert len(steps) == 3
    for earlier, later in pairwise(steps):
        assert later.messages[: len(earlier.messages)] == earlier.messages
        assert later.tools == earlier.tools


async def test_the_same_question_in_another_run_is_asked_in_the_same_words() -> None:
    """No time, no id at the start: whatever differs would end the cached prefix there."""
    first, second = await computed(run_id="one"), await computed(run_id="two")
    openings = [{one.agent: one.messages for one in reversed(asked)} for asked in (first, second)]
    assert openings[0] == openings[1]
    for messages in openings[0].values():
        assert isinstance(messages[0], SystemMessage)
