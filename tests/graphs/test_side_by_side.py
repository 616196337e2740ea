"""Agents side by side: each waits for its own person, no more work at once than may, none twice."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from graphs import events, planning
from graphs.permits import MemoryPermits
from models.scripted import Scripted, ScriptedModel
from tests.graphs.asking_house import Desk
from tests.graphs.test_approving import APPROVE, finished, paused

PARTS = ("Refund order 1?", "Refund order 2?", "Refund order 3?")


def wanting(number: int) -> list[Scripted]:
    """One agent's way: it wants its refund, and reads what came of it."""
    name = f"order {number}"

    def mine(asked: Any) -> bool:
        return name in asked.messages[-1].text or name in asked.text.split("Question:")[-1]

    args = {"order": str(number), "amount": number}
    return [
        Scripted(agent="researcher", when=mine, calls=(("refund", args),)),
        Scripted(agent="researcher", when=mine, answer=f"Order {number} was dealt with."),
    ]


def team_of_three() -> ScriptedModel:
    plan = {"move": "research", "text": "", "tasks": list(PARTS)}
    return ScriptedModel(
        steps=[
            Scripted(agent="coordinator", answer=plan),
            *(step for number in (1, 2, 3) for step in wanting(number)),
            Scripted(agent="coordinator", answer="All three were dealt with."),
        ]
    )


def amounts(outcome: events.RunInterrupted) -> dict[int, str]:
    return {one.value["action_requests"][0]["args"]["amount"]: one.id for one in outcome.interrupts}


async def test_parallel_approvals_are_answered_in_any_order_and_in_part() -> None:
    with team_of_three() as model:
        desk = Desk(model)
        permits = desk.permits
        assert isinstance(permits, MemoryPermits)
        waiting = amounts(paused(await desk.run(" ".join(PARTS), agent="team")))
        assert sorted(waiting) == [1, 2, 3]
        permits.grant("refund", {"order": "3", "amount": 3})
        left = amounts(paused(await desk.decide({waiting[3]: APPROVE})))
        assert (sorted(left), desk.world.refunds()) == ([1, 2], [3])
        assert {number: left[number] for number in left} == {1: waiting[1], 2: waiting[2]}
        reject = {"decisions": [{"type": "reject"}]}
        left = amounts(paused(await desk.decide({waiting[1]: reject})))
        assert (sorted(left), desk.world.refunds()) == ([2], [3])
        permits.grant("refund", {"order": "2", "amount": 2})
        finished(await desk.decide({waiting[2]: APPROVE}))
    assert sorted(desk.world.refunds()) == [2, 3]


async def test_an_answer_for_an_unknown_interrupt_runs_nothing() -> None:
    with team_of_three() as model:
        desk = Desk(model)
        waiting = paused(await desk.run(" ".join(PARTS), agent="team"))
        left = paused(await desk.decide({"0" * 32: APPROVE, "f" * 32: APPROVE}))
        assert [one.id for one in left.interrupts] == [one.id for one in waiting.interrupts]
        model._left.clear()
    assert desk.world.did == []


async def test_no_more_agents_work_at_once_than_the_limit_lets() -> None:
    with team_of_three() as model:
        desk = Desk(model, branches=1)
        (one,) = paused(await desk.run(" ".join(PARTS), agent="team")).interrupts
        assert one.value["action_requests"][0]["args"]["amount"] == 1
        model._left.clear()


@given(st.lists(st.integers(0, 3), max_size=12), st.integers(1, 4))
def test_narrowed_tasks_keep_their_order_and_never_exceed_the_limit(
    waves: list[int], most: int
) -> None:
    tasks = [planning.task("researcher", str(at), [], wave=one) for at, one in enumerate(waves)]
    narrowed = planning.narrow(tasks, most=most)
    assert sorted(task["id"] for task in narrowed) == sorted(task["id"] for task in tasks)
    found = [task["wave"] for task in narrowed]
    assert all(found.count(wave) <= most for wave in set(found))
    assert sorted(set(found)) == list(range(len(set(found))))
    before = {task["id"]: task["wave"] for task in tasks}
    for one in narrowed:
        for other in narrowed:
            if before[one["id"]] < before[other["id"]]:
                assert one["wave"] < other["wave"]


async def test_ten_calls_are_admitted_of_many_that_race_for_them() -> None:
    """Twelve calls of one thought, a limit of ten: ten run, and the run says why it stopped."""
    calls = tuple(("update_ticket", {"text": str(number)}) for number in range(12))
    with ScriptedModel(steps=[Scripted(agent="researcher", calls=calls)]) as model:
        desk = Desk(model, tool_calls=11)
        outcome = finished(await desk.run())
    assert outcome.stop_reason == "max_tool_calls"
    # The search that opens the work is the eleventh.
    assert len(desk.world.did) == 10
