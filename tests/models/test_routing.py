"""One model behind two endpoints that report what vLLM reports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from models import load_reading, routing
from models.breaker import FailureKind, Rules, State
from models.chat import Reply
from models.errors import EndpointsOut, ModelRefused, ModelUnreachable
from models.hearing import Heard
from models.priorities import Priority, Workload
from models.registry import ClientKind, ModelSpec, ToolMode
from models.retry import Retry
from models.routing import RoutedModel
from tests.doubles.openai_endpoint import Cut, Fails, OpenAIEndpoint, Says
from tests.doubles.vllm_endpoint import Load, VLLMEndpoint, saying
from tests.models.chatting import NotingGate, Waits, spec_of

ASKED = [HumanMessage("Which of you is it?")]
SECONDS = 30.0


@asynccontextmanager
async def up(*endpoints: VLLMEndpoint) -> AsyncIterator[None]:
    for one in endpoints:
        await one.up()
    try:
        yield
    finally:
        for one in endpoints:
            one.held.set()
            await one.aclose()
            one.assert_exhausted()


def spec(*endpoints: OpenAIEndpoint, **changes: Any) -> ModelSpec:
    urls = tuple(one.url for one in endpoints[1:])
    return spec_of(endpoints[0], ToolMode.NATIVE, **({"urls": urls, "timeout": 30.0} | changes))


@asynccontextmanager
async def routed(
    *endpoints: OpenAIEndpoint,
    waits: Waits | None = None,
    rules: Rules | None = None,
    **changes: Any,
) -> AsyncIterator[RoutedModel]:
    retry = Retry(sleep=waits or Waits(), jitter=lambda: 1.0)
    model = routing.build(spec(*endpoints, **changes), retry=retry, rules=rules)
    try:
        async with asyncio.timeout(SECONDS):
            yield model
    finally:
        await model.aclose()


async def look(model: RoutedModel) -> None:
    """Read what each endpoint tells of its load, once."""
    for one in model.pool.endpoints:
        async with load_reading.opened(one.url, model.spec) as client:
            model.pool.heard(one, await load_reading.read(client, one.url, model=model.spec.model))


def said(reply: Reply) -> str:
    return str(reply.message.text)


def state_of(model: RoutedModel, endpoint: VLLMEndpoint) -> State:
    told = {one.endpoint: one.state for one in model.status().endpoints}
    return told[f"127.0.0.1:{endpoint.port}"]


async def test_the_less_loaded_endpoint_answers() -> None:
    a, b = saying("a", load=Load(waiting=3, running=8)), saying("b", load=Load(running=2))
    async with up(a, b), routed(a, b) as model:
        await look(model)
        assert said(await model.call(ASKED)) == "b"
        assert a.load
        assert b.load
        a.load.waiting, b.load.waiting, b.load.kv_cache = 0, 2, 0.99
        await look(model)
        assert said(await model.call(ASKED)) == "a"


async def test_the_load_is_read_in_the_background_from_the_start() -> None:
    a, b = saying("a", load=Load(waiting=9)), saying("b", load=Load())
    async with up(a, b), routed(a, b) as model:
        model.watch(every=0.01)
        for one in (a, b):
            # Whoever asks again has read what it was told before.
            await one.looked.acquire()
            await one.looked.acquire()
        assert said(await model.call(ASKED)) == "b"
        assert [one.metrics is not None for one in model.status().endpoints] == [True, True]


async def test_endpoints_without_figures_share_the_calls() -> None:
    a, b = saying("a"), saying("b")
    async with up(a, b), routed(a, b) as model:
        await look(model)
        a.held.clear()
        b.held.clear()
        calls = [asyncio.create_task(model.call(ASKED)) for _ in range(6)]
        for _ in range(3):
            await a.arrived.get()
            await b.arrived.get()
        a.held.set()
        b.held.set()
        assert sorted([said(reply) for reply in await asyncio.gather(*calls)]) == [*"aaabbb"]


async def test_a_thread_stays_with_the_endpoint_that_knows_its_prefix() -> None:
    a, b = saying("a", load=Load(running=1)), saying("b", load=Load(running=2))
    async with up(a, b), routed(a, b) as model:
        await look(model)
        for thread in ("one", "two", "three", "four"):
            mine = model.serving(Workload(session=thread))
            assert len({said(await mine.call(ASKED)) for _ in range(3)}) == 1


async def test_where_one_refuses_the_other_answers_at_once() -> None:
    a, b, waits = saying("a"), saying("b"), Waits()
    async with up(a, b), routed(a, b, waits=waits, rules=Rules(first_open=60)) as model:
        a.down()
        replies = {said(await model.call(ASKED)) for _ in range(6)}
        assert replies == {"b"}
        assert set(waits.seconds) <= {0.0}
        assert len(waits.seconds) <= 1
        # By chance b may have been chosen each time; once a is met it is left alone.
        if waits.seconds:
            assert state_of(model, a) is State.OPEN


async def test_a_reply_that_breaks_off_is_told_anew_by_the_other_endpoint() -> None:
    a, b, gate = VLLMEndpoint(load=Load()), VLLMEndpoint(load=Load(running=40)), NotingGate()
    heard: list[Heard] = []
    async with up(a, b), routed(a, b) as model:
        await look(model)
        a.will(Says(text="It is about to break off here.", cut=Cut.RESET))
        b.will(Says(text="It is whole."))
        reply = await model.call(ASKED, gate=gate, heard=heard.append)
        assert said(reply) == "It is whole."
        first, second = dict.fromkeys(one.message_id for one in heard)
        assert reply.message.id == second != first
        assert "".join(one.text for one in heard if one.message_id == second) == "It is whole."
        # Both attempts were reserved and settled, and the reply counts both.
        assert [ok for _, _, ok in gate.settled] == [False, True]
        assert reply.attempts == 2
        assert reply.usage.input_tokens == sum(used.input_tokens for used, _, _ in gate.settled)
        assert reply.cost == pytest.approx(sum(cost for _, cost, _ in gate.settled))
        assert state_of(model, a) is State.CLOSED


async def test_one_that_has_too_much_to_do_is_left_alone_for_as_long_as_it_says() -> None:
    a, b, waits = VLLMEndpoint(load=Load()), saying("b", load=Load(running=40)), Waits()
    async with up(a, b), routed(a, b, waits=waits) as model:
        await look(model)
        a.will(Fails(status=429, headers={"retry-after": "500"}))
        assert said(await model.call(ASKED)) == "b"
        assert said(await model.call(ASKED)) == "b"
        assert waits.seconds == [0.0]
        found = model.status().endpoints[0]
        assert (found.state, found.failures) == (State.OPEN, {FailureKind.CAPACITY: 1})
        assert 300 < found.opens_in <= 500


async def test_a_503_that_says_when_is_left_alone_for_so_long() -> None:
    a, b = VLLMEndpoint(load=Load()), saying("b", load=Load(running=40))
    async with up(a, b), routed(a, b) as model:
        await look(model)
        a.will(Fails(status=503, headers={"retry-after": "500"}))
        assert said(await model.call(ASKED)) == "b"
        assert 300 < model.status().endpoints[0].opens_in <= 500


async def test_a_request_of_our_own_making_speaks_against_no_endpoint() -> None:
    a, b = VLLMEndpoint(load=Load()), VLLMEndpoint(load=Load(running=40))
    async with up(a, b), routed(a, b) as model:
        await look(model)
        for _ in range(5):
            a.will(Fails(status=400, message="no such parameter"))
            with pytest.raises(ModelRefused):
                await model.call(ASKED)
        assert state_of(model, a) is State.CLOSED
        assert model.status().endpoints[0].failures == {}


async def test_an_outage_of_all_is_waited_out_where_it_is_short() -> None:
    a, b = saying("a"), saying("b")
    async with up(a, b), routed(a, b, rules=Rules(first_open=0.2)) as model:
        a.down()
        b.down()
        # Each refuses, and one does so once more when its time is over.
        with pytest.raises(ModelUnreachable):
            await model.call(ASKED)
        assert {one.state for one in model.status().endpoints} != {State.CLOSED}
        await a.up()
        await b.up()
        assert said(await model.call(ASKED)) in {"a", "b"}


async def test_a_long_outage_is_told_at_once() -> None:
    a, b = saying("a"), saying("b")
    async with up(a, b), routed(a, b, rules=Rules(first_open=60)) as model:
        a.down()
        b.down()
        with pytest.raises(EndpointsOut, match=r"is out: .* left alone for another \d+ s"):
            await model.call(ASKED)
        with pytest.raises(EndpointsOut):
            await model.call(ASKED)
        assert sum(one.calls for one in model.status().endpoints) == 2


async def test_interactive_calls_go_before_those_in_the_background() -> None:
    a, b = saying("a"), saying("b")
    async with up(a, b), routed(a, b, max_at_once=1) as model:
        a.held.clear()
        b.held.clear()
        background = model.serving(Workload(priority=Priority.BACKGROUND))
        calls = [asyncio.create_task(model.call([HumanMessage(f"running {n}")])) for n in "ab"]
        await a.arrived.get()
        await b.arrived.get()
        calls.append(asyncio.create_task(background.call([HumanMessage("nightly")])))
        await until(lambda: model.status().waiting == 1)
        calls.append(asyncio.create_task(model.call([HumanMessage("person")])))
        await until(lambda: model.status().waiting == 2)
        a.held.set()
        order = [await a.arrived.get(), await a.arrived.get()]
        assert [one.body["messages"][0]["content"] for one in order] == ["person", "nightly"]
        b.held.set()
        await asyncio.gather(*calls)
        assert model.status().waiting == 0


async def test_who_goes_away_while_waiting_takes_nobodys_turn() -> None:
    a = saying("a")
    async with up(a), routed(a, max_at_once=1) as model:
        a.held.clear()
        first = asyncio.create_task(model.call(ASKED))
        await a.arrived.get()
        gone = asyncio.create_task(model.call(ASKED))
        stays = asyncio.create_task(model.call(ASKED))
        await until(lambda: model.status().waiting == 2)
        gone.cancel()
        await asyncio.wait([gone])
        a.held.set()
        assert [said(await first), said(await stays)] == ["a", "a"]
        assert (model.status().waiting, model.status().endpoints[0].in_flight) == (0, 0)


async def test_a_trial_that_is_given_up_is_followed_by_another() -> None:
    a = saying("a")
    async with up(a), routed(a, max_at_once=2, rules=Rules(first_open=0.05)) as model:
        a.down()
        with pytest.raises(ModelUnreachable):
            await model.call(ASKED)
        await a.up()
        a.held.clear()
        trial = asyncio.create_task(model.call(ASKED))
        await a.arrived.get()
        assert state_of(model, a) is State.HALF_OPEN
        trial.cancel()
        await asyncio.wait([trial])
        a.held.set()
        assert said(await model.call(ASKED)) == "a"
        assert state_of(model, a) is State.CLOSED


@pytest.mark.parametrize("client", list(ClientKind))
async def test_vllm_is_told_what_is_in_the_background(client: ClientKind) -> None:
    a = saying("a")
    extra: dict[str, Any] = {"priority": True, "client": client, "extra_body": {"seed": 7}}
    async with up(a), routed(a, **extra) as model:
        await model.call(ASKED)
        await model.serving(Workload(priority=Priority.BACKGROUND)).call(ASKED)
        bodies = [request.body for request in a.requests]
        assert [body.get("priority") for body in bodies] == [None, 10]
        assert [body["seed"] for body in bodies] == [7, 7]


async def until(holds: Callable[[], bool]) -> None:
    """Until something is so that only other tasks of this loop can bring about."""
    while True:
        if holds():
            return
        await asyncio.sleep(0)
