"""A model whose place another one takes, which has a price and a way with tools of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolCall, ToolMessage

from models import chat, routing
from models.attempts import ENDED, Ending, TokenUsage
from models.breaker import Rules, State
from models.errors import ContextTooLong, ModelRefused, ModelsOut
from models.fallback import FallbackModel
from models.hearing import Heard
from models.priorities import Priority, Workload, serving
from models.registry import ToolMode
from models.retry import Retry
from models.routing import RoutedModel
from tests.doubles.openai_endpoint import Cut, Fails, Says
from tests.doubles.vllm_endpoint import VLLMEndpoint, saying
from tests.models.chatting import SEARCH, Waits, answers, spec_of

ASKED = [HumanMessage("Who is it?")]


@dataclass(kw_only=True)
class NamingGate:
    """Notes which model each attempt was of, its worst cost, and whether it succeeded."""

    attempts: list[tuple[str, float, bool]] = field(default_factory=list)
    _worst: float = 0.0

    async def reserve(
        self, model: str, *, input_tokens: int, max_output_tokens: int, max_cost: float
    ) -> None:
        self._worst = max_cost

    async def settle(
        self,
        model: str,
        *,
        usage: TokenUsage,
        cost: float,
        seconds: float,
        ending: Ending = ENDED,
    ) -> None:
        assert cost <= self._worst
        self.attempts.append((model, self._worst, ending.ok))


@asynccontextmanager
async def chain(
    big: VLLMEndpoint,
    small: VLLMEndpoint,
    *,
    small_tools: ToolMode = ToolMode.CONSTRAINED,
) -> AsyncIterator[tuple[FallbackModel, RoutedModel]]:
    async with AsyncExitStack() as stack:
        for one in (big, small):
            await one.up()
            stack.push_async_callback(one.aclose)
            stack.callback(one.assert_exhausted)
        retry = Retry(sleep=Waits(), jitter=lambda: 1.0)
        first = routing.build(
            spec_of(big, ToolMode.NATIVE, name="big", output_price=40.0, fallback=("small",)),
            retry=retry,
            rules=Rules(first_open=60),
        )
        second = chat.build(spec_of(small, small_tools, name="small"), retry=retry)
        stack.push_async_callback(first.aclose)
        stack.push_async_callback(second.aclose)
        yield FallbackModel([first.hurried(), second]), first


async def test_the_model_itself_answers_while_it_can() -> None:
    async with chain(saying("big"), saying("small")) as (model, _):
        reply = await model.call(ASKED)
        assert (reply.message.text, reply.attempts) == ("big", 1)
        assert model.answered == {}


async def test_another_model_answers_for_one_that_is_out_at_its_own_price() -> None:
    big, gate = saying("big"), NamingGate()
    async with chain(big, saying("small")) as (model, first):
        big.down()
        for _ in range(2):
            reply = await model.call(ASKED, gate=gate)
            assert reply.message.text == "small"
            assert reply.message.response_metadata["model_name"] == "small"
        # The second time nobody knocks at the first one's door.
        assert [(name, ok) for name, _, ok in gate.attempts] == [
            ("big", False),
            ("small", True),
            ("small", True),
        ]
        assert gate.attempts[0][1] > 5 * gate.attempts[1][1]
        assert model.answered == {"small": 2}
        assert first.status().endpoints[0].state is State.OPEN


async def test_nobody_waits_behind_the_call_that_tries_a_model_again() -> None:
    """It may hang for the whole of its time, and another model stands by."""
    big = saying("big")
    async with chain(big, saying("small")) as (model, first):
        big.down()
        assert (await model.call(ASKED)).message.text == "small"
        await big.up()
        big.held.clear()
        first.pool.endpoints[0].breaker.clock = lambda: time.monotonic() + 60
        trial = asyncio.create_task(model.call(ASKED))
        await big.arrived.get()
        async with asyncio.timeout(2):
            assert (await model.call(ASKED)).message.text == "small"
        big.held.set()
        assert (await trial).message.text == "big"


async def test_one_without_room_is_not_waited_for() -> None:
    big, gate = VLLMEndpoint(), NamingGate()
    async with chain(big, saying("small")) as (model, _):
        big.will(Fails(status=429, headers={"retry-after": "20"}))
        reply = await model.call(ASKED, gate=gate)
        assert (reply.message.text, reply.attempts) == ("small", 2)


async def test_a_spent_quota_is_no_reason_to_fail() -> None:
    big = VLLMEndpoint()
    async with chain(big, saying("small")) as (model, _):
        big.will(Fails(status=429, code="insufficient_quota"))
        assert (await model.call(ASKED)).message.text == "small"


async def test_what_was_told_by_the_one_that_failed_is_void() -> None:
    big, heard = VLLMEndpoint(), list[Heard]()
    async with chain(big, saying("It is whole.")) as (model, _):
        big.will(*[Says(text="It breaks off each time.", cut=Cut.CLOSED)] * 3)
        reply = await model.call(ASKED, heard=heard.append)
        ids = list(dict.fromkeys(one.message_id for one in heard))
        assert len(ids) == 4
        assert ids[-1] == reply.message.id
        assert "".join(one.text for one in heard if one.message_id == ids[-1]) == "It is whole."
        assert reply.attempts == 4


async def test_a_request_that_is_refused_is_refused() -> None:
    big = VLLMEndpoint()
    async with chain(big, saying("small")) as (model, _):
        big.will(Fails(status=400, message="no such parameter"))
        with pytest.raises(ModelRefused):
            await model.call(ASKED)
        big.will(Fails(status=400, message="exceeds the context length"))
        with pytest.raises(ContextTooLong):
            await model.call(ASKED)


async def test_where_none_answers_each_is_named() -> None:
    big, small = saying("big"), saying("small")
    async with chain(big, small) as (model, _):
        big.down()
        small.down()
        with pytest.raises(ModelsOut, match=rf"no model answers: .*{big.port}.*; .*{small.port}"):
            await model.call(ASKED)


async def test_a_model_that_writes_tools_otherwise_takes_over_in_the_middle() -> None:
    big, small = saying("big"), VLLMEndpoint()
    call = ToolCall(name="search_documents", args={"query": "fees"}, id="c1", type="tool_call")
    history = [
        HumanMessage("What are the fees?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage("[1] The fee is 3 EUR.", tool_call_id="c1", name="search_documents"),
    ]
    async with chain(big, small) as (model, _):
        big.down()
        small.will(answers(ToolMode.CONSTRAINED, "3 EUR [1]."))
        reply = await model.call(history, tools=[SEARCH])
        assert reply.message.text == "3 EUR [1]."
        assert "The fee is 3 EUR." in str(small.requests[-1].body["messages"])
        roles = {one["role"] for one in small.requests[-1].body["messages"]}
        assert roles == {"system", "user", "assistant"}


async def test_a_workload_is_known_to_all_of_them_and_the_count_is_one() -> None:
    big = saying("big")
    async with chain(big, saying("small")) as (model, _):
        big.down()
        mine = serving(model, Workload(session="t", priority=Priority.BACKGROUND))
        assert (await mine.call(ASKED)).message.text == "small"
        assert (mine.name, mine.plain, model.answered) == ("big", False, {"small": 1})
