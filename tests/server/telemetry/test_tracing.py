"""A run is one trace, through workers and people, and holds no content unless that is wanted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.transitions import RunStatus
from server.telemetry import names, span
from server.telemetry.content import Content
from tests.server.people import People
from tests.server.surface import Parts
from tests.server.telemetry.tracing_house import refunding, shape, traced

TEAM = {"configurable": {"agent": "team"}}
CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
# Assembled, so that no scanner takes it for one that was lost.
CANARY = "sk-" + "live4f8a9b2c7d1e6f3a5b8c9d2e"
SHAPE = """\
create_run team ->caller:?
  invoke_agent team !given_back
    invoke_agent coordinator
      step 1
        chat scripted
    invoke_agent researcher
      execute_tool search_documents
  invoke_agent team ->retried:invoke_agent team
    invoke_agent researcher
      step 2
        chat scripted
        approval_request refund
  invoke_agent team ->resumed:invoke_agent team
    invoke_agent researcher
      approval_decision refund ->asked:approval_request refund
      execute_tool refund
      step 3
        chat scripted
    guardrail critic"""


async def _refunded(people: People, **more: Any) -> str:
    """One run through a retry and an approval; gives its id."""
    people.client.headers["traceparent"] = CALLER
    await people.ask(config=TEAM, **more)
    (one,) = await people.waiting()
    await people.decide(one)
    record = await people.over()
    assert record.status is RunStatus.SUCCESS
    return str(record.run_id)


async def test_a_run_with_agents_a_tool_an_approval_and_a_retry_is_one_connected_trace(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    with refunding() as model:
        async with traced(parts, redis, keys, model, deaths=1) as house:
            run_id = await _refunded(house.people)
            spans = await house.spans(run_id)
            sent = await house.exported()
    kept = [one for one in spans if one["name"] != names.CHECKPOINT]
    assert "\n".join(shape(kept)) == SHAPE
    assert len(spans) > len(kept) + 5
    assert all(one["end"] is not None for one in spans)
    segments = [one["attributes"] for one in spans if one["kind"] == "consumer"]
    assert [one[names.STOP_REASON] for one in segments] == [
        "given_back",
        "interrupted",
        "answered",
    ]
    assert segments[-1][names.INPUT_TOKENS] > 0
    chat = next(one["attributes"] for one in spans if one["name"] == "chat scripted")
    assert chat[names.MODEL] == "scripted"
    assert (chat[names.STEP_NUMBER], chat[names.ATTEMPT]) == (1, 1)
    # What is sent is the same trace: each span has its parent in it, and one has none.
    assert {f"{one.context.span_id:016x}" for one in sent} == {one["id"] for one in spans}
    assert {f"{one.context.trace_id:032x}" for one in sent} == {span.trace_id_of(run_id)}
    ids = {one.context.span_id for one in sent}
    assert [one.name for one in sent if one.parent is None] == ["create_run team"]
    assert all(one.parent is None or one.parent.span_id in ids for one in sent)


def _all_of(sent: Sequence[Any]) -> str:
    return " ".join(one.to_json() for one in sent)


@pytest.mark.parametrize("content", list(Content))
async def test_what_was_said_is_in_no_span_unless_that_is_wanted_and_secrets_are_in_none(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
    *,
    content: Content,
) -> None:
    monkeypatch.setenv("COUNTERPOINT_CANARY", CANARY)
    said = {"messages": [{"role": "user", "content": f"Refund order 7 with {CANARY}"}]}
    model = refunding(note=f"7 {CANARY}", answer=f"Order 7 is refunded, {CANARY}.")
    with model:
        async with traced(parts, redis, keys, model, content=content) as house:
            house.people.client.headers["x-secret"] = CANARY
            house.people.world.note = CANARY
            run_id = await _refunded(house.people, input=said)
            kept = str(await house.spans(run_id))
            sent = _all_of(await house.exported())
    assert os.environ["COUNTERPOINT_CANARY"] == CANARY
    for told in (kept, sent):
        assert (CANARY in told) == (content is Content.FULL)
        assert ("Refund order 7" in told) == (content is not Content.OFF)
        assert ("is refunded" in told) == (content is not Content.OFF)
        assert ("refund done" in told) == (content is not Content.OFF)


async def test_a_trace_is_its_tenants_alone_and_one_that_is_not_kept_is_not_there(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    with refunding() as model:
        async with traced(parts, redis, keys, model) as house:
            run_id = await _refunded(house.people)
            other = await house.people.parts.runs.create(
                (await house.people.over()).asked, tenant="another"
            )
            reply = await house.people.client.get(f"/runs/{other.run_id}/trace")
            assert (reply.status_code, reply.json()["detail"]) == (404, f"no run {other.run_id}")
            await house.tracing.flush()
            await redis.unlink(keys.trace(run_id))
            reply = await house.people.client.get(f"/runs/{run_id}/trace")
            assert reply.status_code == 404
            assert "no trace of run" in reply.json()["detail"]


async def test_a_trace_goes_with_its_thread(parts: Parts, redis: Redis, keys: Keys) -> None:
    with refunding() as model:
        async with traced(parts, redis, keys, model) as house:
            run_id = await _refunded(house.people)
            assert await house.spans(run_id)
            await parts.threads.delete(house.people.thread)
            await parts.threads.clean(house.people.thread)
    assert not await redis.exists(keys.trace(run_id))
    assert await redis.zscore(keys.traces, run_id) is None
