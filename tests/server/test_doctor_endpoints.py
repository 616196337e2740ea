"""What the doctor says of a model that several endpoints serve."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from server import doctor_models
from server.finding import State
from server.settings import Settings
from tests.doubles.openai_endpoint import Raw
from tests.doubles.vllm_endpoint import Load, VLLMEndpoint

LISTED = Raw(body='{"data": [{"id": "m"}]}', content_type="application/json")


@pytest.fixture
async def endpoints() -> AsyncIterator[tuple[VLLMEndpoint, VLLMEndpoint]]:
    a = VLLMEndpoint(load=Load(running=3, waiting=1, kv_cache=0.25), always=LISTED)
    b = VLLMEndpoint(always=LISTED)
    for one in (a, b):
        await one.up()
    yield a, b
    for one in (a, b):
        await one.aclose()


async def test_each_endpoint_has_a_line_with_its_load(
    endpoints: tuple[VLLMEndpoint, VLLMEndpoint],
) -> None:
    a, b = endpoints
    given = Settings(model_url=a.url, model="m", model_urls=(b.url,), model_tools="native")
    first, second = await doctor_models.chat_model(given)
    assert (first.state, second.state) == (State.OK, State.OK)
    told = "; 3 running, 1 waiting, KV cache 25% full"
    assert first.detail == f"m at {a.url}, tools native{told}"
    assert second.detail == f"m at {b.url}, tools native"


async def test_one_that_is_out_is_a_warning_while_another_one_serves(
    endpoints: tuple[VLLMEndpoint, VLLMEndpoint],
) -> None:
    a, b = endpoints
    a.down()
    given = Settings(model_url=a.url, model="m", model_urls=(b.url,))
    assert [one.state for one in await doctor_models.chat_model(given)] == [State.WARN, State.OK]
    b.down()
    assert [one.state for one in await doctor_models.chat_model(given)] == [State.FAIL] * 2
