"""A frontend's own tasks over the wire: one model call, no team, and nothing is left of them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.saver import RedisSaver
from models.attempts import TokenUsage
from models.errors import ModelUnreachable
from models.registry import ModelSpec, Registry, Role
from models.scripted import Scripted, ScriptedModel
from server.app import build
from server.executor import Executor
from server.frontend_tasks import FrontendExecutor, cheapest
from server.house import limits_of
from server.runs.ledger import RedisRunLedgers
from server.runs.transitions import RunStatus
from server.runs.worker import RunWorker
from server.threads.thread import ThreadQuery
from tests.server.frontends import bodies
from tests.server.surface import Parts, Team, configured, in_process, openai_client, served

USED = TokenUsage(input_tokens=300, output_tokens=12)
TITLE = {"title": "💸 Returning an annual plan"}


@asynccontextmanager
async def working(
    parts: Parts, redis: Redis, keys: Keys, *steps: Scripted, **most: Any
) -> AsyncIterator[tuple[Team, ScriptedModel]]:
    """The team by script, tasks by the real executor with a scripted model."""
    team, ledgers = Team(), RedisRunLedgers(redis, keys)
    with ScriptedModel(steps=list(steps), price=1.0) as model:
        limits = replace(limits_of(parts.settings), **most)
        tasks = FrontendExecutor(ledgers=ledgers, models=dict.fromkeys(Role, model), limits=limits)
        async with RunWorker(
            records=parts.records,
            log=parts.log,
            queue=parts.queue,
            executor=Executor(team_executor=team, graph_executor=team, frontend=tasks),
            steps=RedisSaver(redis, keys),
            grace_seconds=0,
        ):
            yield team, model


def body(prompt: str, **more: Any) -> dict[str, Any]:
    return {
        "model": "counterpoint",
        "messages": [{"role": "user", "content": prompt}],
        "stream": False,
        **more,
    }


async def post(client: httpx.AsyncClient, prompt: str, **more: Any) -> Mapping[str, Any]:
    answer = await client.post("/v1/chat/completions", json=body(prompt, **more))
    assert answer.status_code == 200, answer.text
    told: Mapping[str, Any] = answer.json()
    return told


async def test_each_task_is_one_call_whose_answer_the_client_can_parse(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    wanted: dict[str, tuple[str, dict[str, Any]]] = {
        "title": (bodies.open_webui(*bodies.TITLE), TITLE),
        "tags": (bodies.open_webui(*bodies.TAGS), {"tags": ["Business", "Refunds"]}),
        "follow_ups": (bodies.open_webui(*bodies.FOLLOW_UPS), {"follow_ups": ["And a month?"]}),
        "queries": (bodies.open_webui(*bodies.QUERIES), {"queries": []}),
        "text": (bodies.AUTOCOMPLETE, {"text": " can I wait?"}),
    }
    steps = [Scripted(agent="frontend", answer=given, usage=USED) for _, given in wanted.values()]
    async with working(parts, redis, keys, *steps) as (team, model), in_process(build(parts)) as at:
        for prompt, given in wanted.values():
            told = await post(at, prompt, max_completion_tokens=1000)
            choice = told["choices"][0]
            assert json.loads(choice["message"]["content"]) == given
            assert choice["finish_reason"] == "stop"
            assert choice["message"]["reasoning_content"] == ""
        record = await parts.runs.get(told["counterpoint"]["run_id"])
        _, threads = await parts.threads.search(ThreadQuery())
    assert team.asked == []
    assert all(not one.tools and one.answer is not None for one in model.asked)
    assert threads == 0
    assert record.status is RunStatus.SUCCESS
    # What it took is counted as for any run.
    assert told["usage"]["total_tokens"] == 312
    assert record.result is not None
    assert record.result["usage"]["model_calls"] == 1
    assert record.result["usage"]["cost"] > 0


async def test_librechats_title_is_plain_text_also_streamed_to_the_unmodified_client(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    step = Scripted(agent="frontend", answer="Returning an Annual Plan", usage=USED)
    async with (
        working(parts, redis, keys, step) as (team, model),
        served(build(parts)) as url,
        openai_client(url) as client,
    ):
        stream: Any = await client.chat.completions.create(
            model="counterpoint-researcher",
            messages=[{"role": "user", "content": bodies.LIBRECHAT}],
            stream=True,
        )
        chunks = [chunk async for chunk in stream]
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Returning an Annual Plan"
    assert not any(getattr(delta, "reasoning_content", None) for delta in deltas)
    assert (team.asked, model.asked[0].answer) == ([], None)


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": bodies.RAG}],
        [
            {"role": "user", "content": "How long?"},
            {"role": "assistant", "content": "45 days."},
            {"role": "user", "content": bodies.open_webui(*bodies.TITLE)},
        ],
    ],
    ids=["its context to answer from", "within a conversation"],
)
async def test_what_may_be_a_question_goes_to_the_team(
    messages: list[Any], parts: Parts, redis: Redis, keys: Keys
) -> None:
    async with working(parts, redis, keys) as (team, _), in_process(build(parts)) as at:
        answer = await at.post("/v1/chat/completions", json=body("", messages=messages))
    assert answer.status_code == 200
    assert [record.asked.messages[-1]["content"] for record in team.asked] == [
        messages[-1]["content"]
    ]


async def test_a_setting_has_the_team_answer_all(parts: Parts, redis: Redis, keys: Keys) -> None:
    app = configured(parts, frontend_tasks=False)
    async with working(parts, redis, keys) as (team, _), in_process(app) as at:
        await post(at, bodies.open_webui(*bodies.TITLE))
    assert len(team.asked) == 1


async def test_a_model_that_is_not_there_and_a_limit_are_told_as_for_any_run(
    parts: Parts, redis: Redis, keys: Keys
) -> None:
    gone = Scripted(agent="frontend", error=ModelUnreachable("nobody answers", model="m"))
    prompt = bodies.open_webui(*bodies.TITLE)
    async with working(parts, redis, keys, gone), in_process(build(parts)) as at:
        answer = await at.post("/v1/chat/completions", json=body(prompt))
        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "ModelUnreachable")
    async with working(parts, redis, keys, tokens=50), in_process(build(parts)) as at:
        answer = await at.post("/v1/chat/completions", json=body(prompt))
        assert answer.json()["error"]["code"] == "max_tokens"
        assert "raise it" in answer.json()["detail"]


def test_the_cheapest_model_is_asked_and_the_workers_where_they_cost_the_same() -> None:
    def registry(**prices: float) -> Registry:
        specs = {
            name: ModelSpec(name=name, model=name, url="http://m", input_price=1, output_price=cost)
            for name, cost in prices.items()
        }
        return Registry(models=specs, roles={Role(name): name for name in specs})

    assert cheapest(None) is Role.WORKER
    assert cheapest(registry(worker=2, coordinator=2, critic=2)) is Role.WORKER
    assert cheapest(registry(worker=2, coordinator=1.5, critic=3)) is Role.COORDINATOR
