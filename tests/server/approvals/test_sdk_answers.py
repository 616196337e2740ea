"""LangGraph's own unmodified client answers, in every dialect, and the right call is made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_client
from redis.asyncio import Redis

from graphs.keys import Keys
from server.app import build
from tests.graphs.asking_house import refunds
from tests.server.people import People, at_work, sent
from tests.server.surface import Parts, served

ARGS = {"order": "7", "amount": 90}
SAID: Any = {"messages": [{"role": "user", "content": "Refund order 7"}]}
RESEARCHER: Any = {"configurable": {"agent": "researcher"}}


@dataclass(kw_only=True)
class Inbox:
    """A client of somebody's, and what there is behind the server that it asks."""

    client: Any
    people: People

    async def ask(self, graph: str = "team") -> Any:
        """Start a run; the thread's interrupts once it waits."""
        given: Any = SAID if graph in {"team", "batched", "per_call"} else {"done": []}
        config = RESEARCHER if graph == "team" else None
        await self.client.threads.create(thread_id=self.people.thread, if_exists="do_nothing")
        await self.client.runs.wait(self.people.thread, graph, input=given, config=config)
        return (await self.client.threads.get_state(self.people.thread))["interrupts"]

    async def answer(self, resume: Any, graph: str = "team") -> Any:
        """What clients of LangGraph send."""
        config = RESEARCHER if graph == "team" else None
        return await self.client.runs.wait(
            self.people.thread, graph, command={"resume": resume}, config=config
        )


@pytest.fixture
async def inbox(parts: Parts, redis: Redis, keys: Keys) -> AsyncIterator[Inbox]:
    sent.clear()
    async with (
        at_work(parts, redis, keys, refunds(200, 300)) as people,
        served(build(people.parts)) as url,
        get_client(url=url) as client,
    ):
        yield Inbox(client=client, people=people)


def _amount(interrupt: Any) -> int:
    return int(interrupt["value"]["action_requests"][0]["args"]["amount"])


@pytest.mark.parametrize(
    ("answer", "made"),
    [
        ([{"type": "accept", "args": None}], [300]),
        ([{"type": "ignore", "args": None}], []),
        ([{"type": "response", "args": "not today"}], []),
        ([{"type": "edit", "args": {"action": "refund", "args": ARGS}}], [90]),
        ({"decisions": [{"type": "approve"}]}, [300]),
        ({"decisions": [{"type": "reject", "message": "no"}]}, []),
        (
            {"decisions": [{"type": "edit", "edited_action": {"name": "refund", "args": ARGS}}]},
            [90],
        ),
        ({"decisions": [{"type": "edit", "editedAction": {"name": "refund", "args": ARGS}}]}, [90]),
        ({"type": "approve"}, [300]),
        ({"type": "reject", "message": "no"}, []),
    ],
)
async def test_an_answer_to_one_of_two_calls_makes_that_one_and_leaves_the_other(
    inbox: Inbox, answer: Any, made: list[int]
) -> None:
    first, second = sorted(await inbox.ask(), key=_amount)
    assert (_amount(first), _amount(second)) == (200, 300)
    await inbox.answer({second["id"]: answer})
    assert inbox.people.world.refunds() == made
    (left,) = (await inbox.client.threads.get_state(inbox.people.thread))["interrupts"]
    assert left["id"] == first["id"]
    (waiting,) = await inbox.people.waiting()
    assert waiting.args["amount"] == 200
    await inbox.answer(answer if "edit" not in str(answer) else [{"type": "accept"}])
    state = await inbox.client.threads.get_state(inbox.people.thread)
    assert state["interrupts"] == []
    assert inbox.people.world.refunds()[: len(made)] == made
    assert len(inbox.people.world.refunds()) == 2 * len(made)


async def test_the_thread_centric_client_is_asked_and_answers(inbox: Inbox) -> None:
    async with inbox.client.threads.stream(inbox.people.thread, assistant_id="team") as thread:
        await thread.run.start(input=SAID, config=RESEARCHER)
        asked = [one async for one in thread.subscribe(["lifecycle"])]
        by_amount = {_amount(one): one["interrupt_id"] for one in thread.interrupts}
        assert set(by_amount) == {200, 300}
        agents = {one["params"]["data"].get("graph_name") for one in asked}
        assert agents >= {"team", "researcher"}
        await thread.run.respond([{"type": "accept"}], interrupt_id=by_amount[300])
        left = await anext(thread.subscribe(["input"]))
        assert left["params"]["data"]["interrupt_id"] == by_amount[200]
        assert inbox.people.world.refunds() == [300]
        await thread.run.respond([{"type": "ignore"}], interrupt_id=by_amount[200])
        # What waited first has ended by now, which is not the end of what goes on.
        assert (await thread.output)["messages"]
    assert inbox.people.world.refunds() == [300]


async def test_several_answers_at_once_each_go_to_their_own_call(inbox: Inbox) -> None:
    first, second = sorted(await inbox.ask(), key=_amount)
    await inbox.answer(
        {
            second["id"]: [{"type": "ignore", "args": None}],
            first["id"]: {"decisions": [{"type": "approve"}]},
        }
    )
    assert inbox.people.world.refunds() == [200]


async def test_a_late_answer_to_a_call_that_was_decided_makes_nothing(inbox: Inbox) -> None:
    first, second = sorted(await inbox.ask(), key=_amount)
    await inbox.answer({first["id"]: {"type": "reject"}})
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        await inbox.answer({first["id"]: {"type": "approve"}})
    await inbox.answer({second["id"]: {"type": "approve"}})
    assert inbox.people.world.refunds() == [300]


async def test_a_batched_request_takes_an_answer_for_each_of_its_calls(inbox: Inbox) -> None:
    await inbox.ask("batched")
    decisions = [{"type": "reject", "message": "no"}, {"type": "approve"}]
    await inbox.answer({"decisions": decisions}, "batched")
    assert [mail["to"] for mail in sent] == ["bob"]


async def test_per_call_requests_are_answered_by_their_ids(inbox: Inbox) -> None:
    asked = await inbox.ask("per_call")
    ids = {str(one["value"]).count("'bob'") > 0: one["id"] for one in asked}
    await inbox.answer({ids[True]: {"type": "approve"}, ids[False]: {"type": "reject"}}, "per_call")
    assert [mail["to"] for mail in sent] == ["bob"]


@pytest.mark.parametrize(
    "answer",
    [
        [{"type": "accept", "args": None}],
        [{"type": "response", "args": "no"}],
        [{"type": "ignore", "args": None}],
    ],
)
async def test_a_graph_that_asks_as_agent_inbox_does_hears_what_it_would(
    inbox: Inbox, answer: Any
) -> None:
    await inbox.ask("inbox")
    values = await inbox.answer(answer, "inbox")
    assert values["done"] == [answer]


async def test_a_bare_question_hears_what_was_said(inbox: Inbox) -> None:
    await inbox.ask("bare")
    assert (await inbox.answer("blue", "bare"))["done"] == ["blue"]
