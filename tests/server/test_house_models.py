"""Which model plays which role, as the configuration says it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from redis.asyncio import Redis

from graphs.keys import Keys
from models.errors import ModelUnreachable
from models.registry import ClientKind, Role, ToolMode
from server import house_models
from server.settings import ConfigurationError, Settings
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Says

BIG = {"url": "http://big:9000/v1", "model": "big-70b"}
SMALL = {"url": "http://small:9000/v1", "model": "small-7b"}


def settings(**given: Any) -> Settings:
    return Settings(**given)


def test_with_nothing_configured_the_local_model_serves() -> None:
    assert house_models.configured(settings()) is None


def test_a_model_url_plays_every_role() -> None:
    registry = house_models.configured(
        settings(model_url="http://vllm:8000/v1", model="m", model_tools="native")
    )
    assert registry is not None
    for role in Role:
        spec = registry.for_role(role)
        assert (spec.url, spec.model, spec.tools) == ("http://vllm:8000/v1", "m", ToolMode.NATIVE)


def test_a_role_that_is_not_named_is_played_by_the_workers_model() -> None:
    registry = house_models.configured(
        settings(models={"big": BIG, "small": SMALL}, roles={"worker": "small", "critic": "big"})
    )
    assert registry is not None
    assert dict(registry.roles) == {
        Role.COORDINATOR: "small",
        Role.WORKER: "small",
        Role.CRITIC: "big",
    }


def test_several_models_and_no_worker_is_asked_back() -> None:
    with pytest.raises(ConfigurationError, match=r"^roles\.worker: .*big, small"):
        house_models.configured(settings(models={"big": BIG, "small": SMALL}))


def test_a_model_without_a_price_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"^model_input_price: .*0 if it is your own"):
        house_models.configured(settings(model_url="https://llm.example.com/v1", model="m"))
    paid = {"url": "https://llm.example.com/v1", "model": "m"}
    with pytest.raises(ConfigurationError, match=r"^models\.paid: "):
        house_models.configured(settings(models={"paid": paid}))


def test_each_model_says_which_client_asks_it() -> None:
    alone = house_models.configured(
        settings(model_url="http://vllm:8000/v1", model="m", model_client="openai")
    )
    both = house_models.configured(
        settings(
            models={"big": {**BIG, "client": "openai"}, "small": SMALL}, roles={"worker": "big"}
        )
    )
    assert alone is not None
    assert both is not None
    assert alone.named("m").client is ClientKind.OPENAI
    assert {name: spec.client for name, spec in both.models.items()} == {
        "big": ClientKind.OPENAI,
        "small": ClientKind.LEAN,
    }


async def test_how_a_model_calls_tools_is_found_out_once(
    openai_endpoint: OpenAIEndpoint, redis: Redis, keys: Keys
) -> None:
    registry = house_models.configured(settings(model_url=openai_endpoint.url, model="m"))
    assert registry is not None
    spec = registry.for_role(Role.WORKER)
    openai_endpoint.will(Says(calls=(Call(name="get_time", args='{"city": "Paris"}'),)))
    for _ in range(2):
        decided = await house_models.decided(spec, redis=redis, keys=keys)
        assert decided.tools is ToolMode.NATIVE


async def test_a_model_that_does_not_answer_is_not_remembered(redis: Redis, keys: Keys) -> None:
    registry = house_models.configured(settings(model_url="http://127.0.0.1:9/v1", model="m"))
    assert registry is not None
    with pytest.raises(ModelUnreachable):
        await house_models.decided(registry.for_role(Role.WORKER), redis=redis, keys=keys)
    assert [key async for key in redis.scan_iter()] == []


async def test_what_is_hidden_never_leaves_for_the_endpoint(
    openai_endpoint: OpenAIEndpoint, redis: Redis, keys: Keys
) -> None:
    openai_endpoint.will(Says(text="It belongs to [email 1]."))
    given = settings(
        model_url=openai_endpoint.url,
        model="m",
        model_tools="native",
        redact_prompts="all",
        redact_prompts_to="every",
    )
    registry = house_models.configured(given)
    assert registry is not None
    async with AsyncExitStack() as stack:
        models = await house_models.opened(
            registry, stack=stack, redis=redis, keys=keys, checks=given
        )
        reply = await models[Role.WORKER].call([HumanMessage("Whose is ada@example.org?")])
    assert reply.message.text == "It belongs to ada@example.org."
    sent = str(openai_endpoint.requests)
    assert "Whose is [email 1]?" in sent
    assert "ada@" not in sent
