"""What goes wrong between us and a provider: it is retried or told in one line, and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from langchain_core.messages import HumanMessage

from models import errors, failures
from models.chat import EndpointModel
from models.lean import LeanChat
from models.prices import price_of
from models.registry import ModelSpec, ToolMode
from tests.doubles.openai_endpoint import Cut, Fails, Hangs, OpenAIEndpoint, Raw, Says
from tests.models.chatting import (
    KEY,
    MODES,
    SEARCH,
    NotingGate,
    Waits,
    calls,
    model_of,
)

ASK = [HumanMessage("How long may I return a plan?")]
both = pytest.mark.parametrize("mode", MODES)


async def fails_with(
    model: EndpointModel, kind: type[errors.ModelError], *, gate: NotingGate | None = None
) -> str:
    with pytest.raises(kind) as caught:
        await model.call(ASK, tools=[SEARCH], gate=gate)
    message = str(caught.value)
    assert caught.value.model == "double"
    assert "\n" not in message
    assert KEY not in message
    return message


@both
async def test_a_429_waits_as_long_as_it_is_told(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(
        Fails(status=429, headers={"retry-after": "7"}), calls(mode, {"query": "plan"})
    )
    waits = Waits()
    gate = NotingGate()
    async with model_of(openai_endpoint, mode, waits=waits) as model:
        reply = await model.call(ASK, tools=[SEARCH], gate=gate)
    assert (reply.attempts, waits.seconds) == (2, [7.0])
    assert [(usage.input_tokens, ok) for usage, _, ok in gate.settled] == [(0, False), (50, True)]


@both
@pytest.mark.parametrize(("minutes", "least", "most"), [(1, 50.0, 60.0), (-1, 0.0, 0.0)])
async def test_a_429_waits_until_the_time_that_it_is_told(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode, minutes: int, least: float, most: float
) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(minutes=minutes), usegmt=True)
    openai_endpoint.will(
        Fails(status=429, headers={"retry-after": until}), calls(mode, {"query": "plan"})
    )
    waits = Waits()
    async with model_of(openai_endpoint, mode, waits=waits) as model:
        await model.call(ASK, tools=[SEARCH])
    (waited,) = waits.seconds
    assert least <= waited <= most


@both
async def test_a_429_without_a_time_backs_off(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(Fails(status=429), Fails(status=429), calls(mode, {"query": "plan"}))
    waits = Waits()
    async with model_of(openai_endpoint, mode, waits=waits) as model:
        await model.call(ASK, tools=[SEARCH])
    assert waits.seconds == [0.5, 1.0]


async def test_a_429_beyond_patience_is_told_at_once(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(Fails(status=429, headers={"retry-after": "3600"}))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        assert "3600 s" in await fails_with(model, errors.RateLimited)


async def test_a_spent_quota_is_not_waited_for(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(Fails(status=429, code="insufficient_quota"))
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        assert "quota" in await fails_with(model, errors.RateLimited)


@both
async def test_a_500_is_tried_three_times_and_then_told(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(*[Fails(status=500, message="CUDA out of memory")] * 3)
    gate = NotingGate()
    async with model_of(openai_endpoint, mode) as model:
        assert "CUDA out of memory" in await fails_with(model, errors.ModelFailed, gate=gate)
    assert len(gate.settled) == 3


@both
async def test_a_model_that_hangs_is_given_up_and_its_prompt_is_counted(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(Hangs(), Hangs(after_text="thirty"), calls(mode, {"query": "plan"}))
    gate = NotingGate()
    async with model_of(openai_endpoint, mode, timeout=0.25) as model:
        reply = await model.call(ASK, tools=[SEARCH], gate=gate)
    assert reply.attempts == 3
    silent, begun, whole = (usage for usage, _, _ in gate.settled)
    assert silent.input_tokens == gate.reserved[0][0]
    assert (silent.output_tokens, silent.estimated) == (0, True)
    assert (begun.output_tokens, begun.estimated) == (2, True)
    assert not whole.estimated


@both
@pytest.mark.parametrize("cut", list(Cut))
async def test_a_cut_stream_is_tried_again_and_what_arrived_is_counted(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode, cut: Cut
) -> None:
    openai_endpoint.will(
        calls(mode, {"query": "annual plan"}, cut=cut), calls(mode, {"query": "annual plan"})
    )
    gate = NotingGate()
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH], gate=gate)
    assert reply.message.tool_calls[0]["args"] == {"query": "annual plan"}
    (first, _, first_ok), (second, _, second_ok) = gate.settled
    assert (first_ok, second_ok) == (False, True)
    assert first.estimated
    assert first.input_tokens == gate.reserved[0][0] > 0
    assert reply.usage == first + second


async def test_a_stream_cut_each_time_is_told(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(*[Says(text="thirty days", cut=Cut.CLOSED)] * 3)
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED) as model:
        await fails_with(model, errors.StreamCut)


@both
async def test_an_error_within_the_stream_is_tried_again(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    openai_endpoint.will(
        Says(text="thir", error_after_text="engine died"), calls(mode, {"query": "plan"})
    )
    async with model_of(openai_endpoint, mode) as model:
        assert (await model.call(ASK, tools=[SEARCH])).attempts == 2


@both
@pytest.mark.parametrize("usage", [None, (50, 0), (0, 0)])
async def test_missing_usage_is_counted_here_and_never_zero(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode, usage: tuple[int, int] | None
) -> None:
    openai_endpoint.will(calls(mode, {"query": "annual plan"}, usage=usage))
    async with model_of(openai_endpoint, mode) as model:
        reply = await model.call(ASK, tools=[SEARCH])
    assert reply.usage.estimated
    assert reply.usage.input_tokens > 5
    assert reply.usage.output_tokens > 5
    assert reply.cost > 0
    assert reply.message.response_metadata["usage_estimated"] is True
    assert reply.message.usage_metadata is not None
    assert reply.message.usage_metadata["output_tokens"] == reply.usage.output_tokens


@both
@pytest.mark.parametrize(
    ("failure", "kind", "says"),
    [
        (Fails(status=401, message=f"bad key {KEY}"), errors.BadKey, "COUNTERPOINT_MODEL_KEY"),
        (Fails(status=403), errors.BadKey, "403"),
        (Fails(status=404), errors.ModelNotFound, "COUNTERPOINT_MODEL"),
        (Fails(status=400, message=f"no {KEY} please"), errors.ModelRefused, "no *** please"),
        (Fails(status=422), errors.ModelRefused, "422"),
        (
            Fails(status=400, message="request exceeds the available context size (8192)"),
            errors.ContextTooLong,
            "8192",
        ),
    ],
)
async def test_what_waiting_cannot_mend_is_told_at_once(
    openai_endpoint: OpenAIEndpoint,
    mode: ToolMode,
    failure: Fails,
    kind: type[errors.ModelError],
    says: str,
) -> None:
    openai_endpoint.will(failure)
    waits = Waits()
    gate = NotingGate()
    async with model_of(openai_endpoint, mode, waits=waits) as model:
        assert says in await fails_with(model, kind, gate=gate)
    assert waits.seconds == []
    assert [usage.input_tokens for usage, _, _ in gate.settled] == [0]


async def test_a_url_that_refuses_names_itself_and_the_remedy(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    url = openai_endpoint.url
    await openai_endpoint.aclose()
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        message = await fails_with(model, errors.ModelUnreachable)
    assert url in message
    assert "COUNTERPOINT_MODEL_URL" in message


@pytest.mark.parametrize(
    "told",
    [
        lambda spec: failures.unreachable(spec, "refuses connections"),
        lambda spec: failures.for_status(spec, 404, said=""),
        lambda spec: failures.for_status(spec, 500, said=""),
        failures.cut,
        failures.no_stream,
        failures.unreadable,
        lambda spec: raised(price_of, spec),
        lambda spec: LeanChat(spec=spec)._identifying_params,
    ],
)
def test_a_url_is_told_without_its_password(told: Callable[[ModelSpec], object]) -> None:
    """Whoever asks hears of it, and it is kept with the run."""
    url = "https://gate:hunter2@models.example:8443/v1"
    said = str(told(ModelSpec(name="m", model="unknown-model", url=url)))
    assert "https://models.example:8443/v1" in said
    assert "hunter2" not in said
    assert "gate" not in said


def raised(function: Callable[[ModelSpec], object], spec: ModelSpec) -> Exception:
    with pytest.raises(errors.ModelError) as caught:
        function(spec)
    return caught.value


@pytest.mark.parametrize("body", ["<html>Welcome</html>", '{"hello": "world"}'])
async def test_a_server_that_is_no_model_is_told(
    openai_endpoint: OpenAIEndpoint, body: str
) -> None:
    openai_endpoint.will(*[Raw(body=body)] * 3)
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED) as model:
        await fails_with(model, errors.StreamCut)


async def test_a_model_that_ignores_its_limit_is_stopped(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(Says(text="again " * 1000))
    gate = NotingGate()
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED, max_output=20) as model:
        assert "max_tokens" in await fails_with(model, errors.ModelRefused, gate=gate)
    assert gate.settled[0][0].output_tokens > 20


async def test_a_cancelled_call_settles_what_arrived(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(Hangs(after_text="thirty"))
    gate = NotingGate()
    async with model_of(openai_endpoint, ToolMode.CONSTRAINED) as model:
        call = asyncio.create_task(model.call(ASK, gate=gate))
        async with asyncio.timeout(30):
            await openai_endpoint.hanging.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    [(usage, _, ok)] = gate.settled
    assert usage.input_tokens == gate.reserved[0][0]
    assert not ok


async def test_a_gate_that_refuses_ends_the_call_before_anything_is_sent(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    class SpentError(Exception):
        pass

    class ClosedGate(NotingGate):
        async def reserve(
            self, model: str, *, input_tokens: int, max_output_tokens: int, max_cost: float
        ) -> None:
            raise SpentError

    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        with pytest.raises(SpentError):
            await model.call(ASK, gate=ClosedGate())
    assert openai_endpoint.requests == []


async def test_the_gate_is_asked_for_the_worst_case(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(Says(text="Thirty."))
    gate = NotingGate()
    async with model_of(openai_endpoint, ToolMode.NATIVE) as model:
        await model.call(ASK, max_tokens=100, gate=gate)
    [(tokens, room, cost)] = gate.reserved
    assert room == openai_endpoint.requests[0].body["max_tokens"] == 100
    assert cost == pytest.approx((tokens * 1 + 100 * 4) / 1e6)


async def test_variables_meant_for_openai_do_not_reach_another_endpoint(
    openai_endpoint: OpenAIEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-other")
    monkeypatch.setenv("OPENAI_ADMIN_KEY", "sk-admin")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-other")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-other")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_BASE", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: other\nAuthorization: Bearer other")
    monkeypatch.setenv("OPENAI_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    openai_endpoint.will(Says(text="Thirty."), Says(text="Thirty."))
    for key in ({}, {"key": None}):
        async with model_of(openai_endpoint, ToolMode.NATIVE, **key) as model:
            await model.call(ASK)
    keyed, keyless = openai_endpoint.requests
    assert keyed.headers["authorization"] == f"Bearer {KEY}"
    assert "authorization" not in keyless.headers
    for request in (keyed, keyless):
        assert "other" not in str(request.headers)
        assert "admin" not in str(request.headers)
