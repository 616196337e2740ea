"""Several endpoints and fallbacks as the configuration says them, opened for each role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from pydantic import ValidationError
from redis.asyncio import Redis

from graphs.keys import Keys
from models.chat import ChatModel, EndpointModel
from models.fallback import FallbackModel
from models.priorities import Priority, Workload, serving
from models.registry import Role, ToolMode
from models.routing import RoutedModel
from server import house_models
from server.model_routing import Routing
from server.runs.asked import Asked
from server.runs.record import RunRecord
from server.runs.workload import workload_of
from server.settings import ConfigurationError, Settings
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Says
from tests.doubles.vllm_endpoint import saying
from tests.server import surface
from tests.server.surface import Parts, hashed, in_process

A, B = "http://a:8000/v1", "http://b:8000/v1"
SMALL = {"url": "http://small:9000/v1", "model": "small-7b", "tools": "constrained"}
NOWHERE = "http://127.0.0.1:9/v1"


def configured(**given: Any) -> Settings:
    return Settings(**given)


def big(**more: Any) -> dict[str, Any]:
    return {"model": "big-70b", "tools": "native", "urls": [A, B], **more}


@asynccontextmanager
async def opened(
    redis: Redis, keys: Keys, *, told: Routing | None = None, **given: Any
) -> AsyncIterator[Mapping[Role, ChatModel]]:
    settings = Settings(**given)
    registry = house_models.configured(settings)
    assert registry is not None
    async with AsyncExitStack() as stack:
        yield await house_models.opened(
            registry, stack=stack, redis=redis, keys=keys, checks=settings, told=told
        )


def test_a_model_has_the_endpoints_that_are_written_each_once() -> None:
    registry = house_models.configured(configured(models={"big": big(url=B)}))
    alone = house_models.configured(configured(model_url=A, model="m", model_urls=[B, A]))
    assert registry is not None
    assert alone is not None
    assert registry.named("big").endpoints == (B, A)
    assert alone.named("m").endpoints == (A, B)


def test_a_model_that_is_served_nowhere_is_asked_back() -> None:
    with pytest.raises(ValidationError, match="url: say where the model is served"):
        configured(models={"big": {"model": "big-70b"}})
    with pytest.raises(ConfigurationError, match=r"^model_urls: set COUNTERPOINT_MODEL_URL"):
        house_models.configured(configured(model_urls=[A]))


@pytest.mark.parametrize(
    ("fallback", "message"),
    [
        (["none"], r"^models\.big\.fallback: no model named 'none'"),
        (["big"], r"^models\.big\.fallback: name each other model once"),
        (["small", "small"], r"^models\.big\.fallback: name each other model once"),
        (["paid"], r"^models\.paid: the price of model"),
    ],
)
def test_a_fallback_is_another_model_with_a_price(fallback: list[str], message: str) -> None:
    paid = {"url": "https://llm.example.com/v1", "model": "m"}
    models = {"big": big(fallback=fallback), "small": SMALL, "paid": paid}
    with pytest.raises(ConfigurationError, match=message):
        house_models.configured(configured(models=models, roles={"worker": "big"}))


async def test_one_endpoint_costs_nothing_more(redis: Redis, keys: Keys) -> None:
    given: dict[str, Any] = {"model_url": A, "model": "m", "model_tools": "native"}
    async with opened(redis, keys, **given) as models:
        model = models[Role.WORKER]
        assert type(model) is EndpointModel
        assert serving(model, Workload(session="t", priority=Priority.BACKGROUND)) is model


async def test_a_critic_is_not_replaced_unless_it_is_written(redis: Redis, keys: Keys) -> None:
    told = Routing()
    given: dict[str, Any] = {"big": big(fallback=["small"]), "small": SMALL}
    async with opened(redis, keys, told=told, models=given, roles={"worker": "big"}) as models:
        assert type(models[Role.WORKER]) is FallbackModel
        assert type(models[Role.COORDINATOR]) is FallbackModel
        critic = models[Role.CRITIC]
        assert isinstance(critic, RoutedModel)
        (status, small) = told.status()
        assert (status.model, status.fallbacks) == ("big", {})
        assert status.pool is not None
        assert [one.endpoint for one in status.pool.endpoints] == ["a:8000", "b:8000"]
        assert (small.model, small.pool) == ("small", None)
    given["big"]["fallback_roles"] = ["critic"]
    async with opened(redis, keys, models=given, roles={"worker": "big"}) as models:
        assert type(models[Role.WORKER]) is RoutedModel
        assert type(models[Role.CRITIC]) is FallbackModel


async def test_what_tools_a_model_can_call_is_asked_of_the_endpoint_that_is_there(
    openai_endpoint: OpenAIEndpoint, redis: Redis, keys: Keys
) -> None:
    openai_endpoint.will(Says(calls=(Call(name="get_time", args='{"city": "Paris"}'),)))
    given = big(urls=[NOWHERE, openai_endpoint.url], tools="auto")
    registry = house_models.configured(configured(models={"big": given}))
    assert registry is not None
    found = await house_models.decided(registry.named("big"), redis=redis, keys=keys)
    assert found.tools is ToolMode.NATIVE
    assert found.endpoints == (NOWHERE, openai_endpoint.url)


async def test_a_public_fallback_sees_no_secret_that_the_model_in_the_house_may_see(
    redis: Redis, keys: Keys
) -> None:
    """The house's own model is hidden nothing; what stands in for it is asked with placeholders."""
    private, public = saying("It is [email 1]'s."), saying("It is [email 1]'s.")
    await private.up()
    await public.up()
    given = {
        "big": big(urls=[private.url], fallback=["cloud"]),
        "cloud": big(urls=[public.url.replace("127.0.0.1", "localhost")], model="cloud"),
    }
    hidden = Settings(redact_prompts="all", redact_prompts_to="public")
    seen = hidden.hidden_kinds

    class Checks(Settings):
        def hidden_kinds(self, url: str) -> Any:
            return seen("https://cloud.example.com/v1" if "localhost" in url else url)

    settings = Checks.model_validate(
        {"models": given, "roles": {"worker": "big"}, "redact_prompts": "all"}
    )
    registry = house_models.configured(settings)
    assert registry is not None
    async with AsyncExitStack() as stack:
        models = await house_models.opened(
            registry, stack=stack, redis=redis, keys=keys, checks=settings
        )
        model = serving(models[Role.WORKER], Workload(session="t"))
        asked = [HumanMessage("Whose is ada@example.org?")]
        await model.call(asked)
        private.down()
        reply = await model.call(asked)
    assert reply.message.text == "It is ada@example.org's."
    assert "ada@example.org" in str(private.requests[0].body)
    assert "ada@example.org" not in str(public.requests)
    await private.aclose()
    await public.aclose()


def test_a_run_says_whether_somebody_waits_for_it() -> None:
    def of(**asked: Any) -> Workload:
        return workload_of(RunRecord(run_id="r", thread_id="t", tenant="x", asked=Asked(**asked)))

    assert of() == Workload(session="x/t", priority=Priority.INTERACTIVE)
    cron = {"metadata": {"cron_id": "c"}}
    background = {"config": {"configurable": {"priority": "background"}}}
    interactive = {"config": {"configurable": {"priority": "interactive"}}}
    own_use = {"config": {"configurable": {"priority": 7}}}
    assert of(**cron).priority is Priority.BACKGROUND
    assert of(**background).priority is Priority.BACKGROUND
    assert of(**cron, **interactive).priority is Priority.INTERACTIVE
    assert of(**own_use).priority is Priority.INTERACTIVE


async def test_operators_see_the_endpoints_and_others_do_not(parts: Parts) -> None:
    people = [
        {"name": "ann", "sha256": hashed("ann")},
        {"name": "ops", "sha256": hashed("ops"), "roles": ["operator"]},
    ]
    for key, status in (("ann", 403), ("ops", 200)):
        async with in_process(surface.configured(parts, keys=people), **{"x-api-key": key}) as one:
            reply = await one.get("/admin/models")
            assert reply.status_code == status
    assert reply.json() == {"items": []}
