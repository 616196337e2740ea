"""Models by name and role, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import SecretStr

from models.chat import dialect_of
from models.errors import ToolsUnsupported, UnknownModel, UnknownPrice
from models.prices import Price, price_of
from models.registry import ModelSpec, Registry, Role, is_loopback, is_private

LOCAL = ModelSpec(name="local", model="qwen", url="http://127.0.0.1:8080/v1")
LARGE = ModelSpec(name="large", model="gpt-4o-mini", url="https://api.openai.com/v1")


def test_one_model_may_play_every_role() -> None:
    registry = Registry.of_one(LOCAL)
    assert [registry.for_role(role) for role in Role] == [LOCAL] * 3


def test_each_role_finds_its_model() -> None:
    registry = Registry(
        models={"local": LOCAL, "large": LARGE},
        roles={Role.WORKER: "local", Role.CRITIC: "large"},
    )
    assert registry.for_role("critic") is LARGE
    assert registry.named("local") is LOCAL


def test_a_role_without_a_model_is_named() -> None:
    registry = Registry(models={"local": LOCAL}, roles={Role.WORKER: "local"})
    with pytest.raises(UnknownModel, match=r"'critic'.*worker"):
        registry.for_role("critic")


def test_a_role_that_does_not_exist_is_named() -> None:
    with pytest.raises(UnknownModel, match="'boss'"):
        Registry.of_one(LOCAL).for_role("boss")


def test_a_model_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(UnknownModel, match=r"'huge'.*local"):
        Registry.of_one(LOCAL).named("huge")
    with pytest.raises(UnknownModel, match=r"role 'critic'.*'huge'"):
        Registry(models={"local": LOCAL}, roles={Role.CRITIC: "huge"})


def test_a_key_is_not_shown() -> None:
    spec = ModelSpec(name="m", model="m", url="https://x.example/v1", key=SecretStr("sk-hidden"))
    assert "sk-hidden" not in repr(Registry.of_one(spec))


@pytest.mark.parametrize("url", [LOCAL.url, "http://vllm:8000/v1", "http://10.0.0.5:8000/v1"])
def test_a_model_inside_the_house_costs_nothing(url: str) -> None:
    assert price_of(replace(LOCAL, url=url, local=False)) == Price(input=0.0, output=0.0)


def test_a_published_price_is_known() -> None:
    price = price_of(LARGE)
    assert price.output > price.input > 0
    assert price.cost(input_tokens=1_000_000, output_tokens=0) == pytest.approx(price.input)


def test_a_configured_price_wins() -> None:
    spec = ModelSpec(
        name="l", model="gpt-4o-mini", url=LARGE.url, input_price=7.0, output_price=9.0
    )
    assert price_of(spec) == Price(input=7.0, output=9.0)


@pytest.mark.parametrize("given", [{}, {"input_price": 0.0}])
def test_an_unknown_price_refuses_the_model_with_a_remedy(given: dict[str, float]) -> None:
    spec = ModelSpec(name="m", model="our-own-70b", url="https://llm.example.com/v1", **given)  # type: ignore[arg-type]
    with pytest.raises(UnknownPrice, match=r"our-own-70b.*0 if it is your own"):
        price_of(spec)


def test_how_a_model_calls_tools_has_to_be_decided_before_it_is_used() -> None:
    with pytest.raises(ToolsUnsupported, match="COUNTERPOINT_MODEL_TOOLS"):
        dialect_of(LOCAL)


@pytest.mark.parametrize(
    ("url", "loopback", "private"),
    [
        ("http://localhost:1/v1", True, True),
        ("http://[::1]:1/v1", True, True),
        ("http://127.3.2.1/v1", True, True),
        ("http://10.0.0.5:8000/v1", False, True),
        ("http://vllm:8000/v1", False, True),
        ("http://llm.internal/v1", False, True),
        ("https://api.openai.com/v1", False, False),
        ("https://localhost.example.com/v1", False, False),
        ("https://8.8.8.8/v1", False, False),
    ],
)
def test_where_a_url_leads_is_known(url: str, loopback: bool, private: bool) -> None:
    assert (is_loopback(url), is_private(url)) == (loopback, private)
