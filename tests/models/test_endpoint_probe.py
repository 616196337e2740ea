"""Whether a model calls tools is found out by asking it, once."""

from __future__ import annotations

import pytest

from models.errors import BadKey, ToolsUnsupported
from models.probe import probe
from models.registry import ToolMode
from models.retry import Retry
from tests.doubles.openai_endpoint import Behaviour, Call, Fails, OpenAIEndpoint, Says
from tests.models.chatting import NotingGate, Waits, spec_of

RETRY = Retry(sleep=Waits())
GREETS = Says(text='{"kind": "greeting", "formal": false}')
CALLS = Says(calls=(Call(name="get_time", args='{"city": "Paris"}'),), finish="tool_calls")
WRITES_IT = Says(text='```json\n{"name": "get_time", "arguments": {"city": "Paris"}}\n```')


async def test_a_model_that_returns_tool_calls_is_native(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(CALLS)
    assert await probe(spec_of(openai_endpoint, ToolMode.AUTO)) is ToolMode.NATIVE
    assert [r.body["tool_choice"] for r in openai_endpoint.requests] == ["auto"]


@pytest.mark.parametrize(
    "first",
    [
        (WRITES_IT,),
        (Fails(status=400, message="tool choice requires --enable-auto-tool-choice"),),
        (Fails(status=500, message="tools param requires --jinja flag"),) * 3,
        (Says(calls=(Call(name="get_time", args='{"city'),)),) * 2,
    ],
)
async def test_a_model_that_only_honours_schemas_is_constrained(
    openai_endpoint: OpenAIEndpoint, first: tuple[Behaviour, ...]
) -> None:
    openai_endpoint.will(*first, GREETS)
    found = await probe(spec_of(openai_endpoint, ToolMode.AUTO), retry=RETRY)
    assert found is ToolMode.CONSTRAINED
    [message] = openai_endpoint.requests[-1].body["messages"]
    assert "kind" not in message["content"]


async def test_a_model_that_does_neither_is_refused_with_a_remedy(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    openai_endpoint.will(WRITES_IT, Says(text="Hello!"), Says(text="Hello again!"))
    with pytest.raises(ToolsUnsupported, match="vLLM"):
        await probe(spec_of(openai_endpoint, ToolMode.AUTO), retry=RETRY)


async def test_a_bad_key_is_told_as_such(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(Fails(status=401))
    with pytest.raises(BadKey):
        await probe(spec_of(openai_endpoint, ToolMode.AUTO), retry=RETRY)


@pytest.mark.parametrize("mode", [ToolMode.NATIVE, ToolMode.CONSTRAINED])
async def test_what_the_configuration_says_is_believed_unasked(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    assert await probe(spec_of(openai_endpoint, mode)) is mode


async def test_a_probe_passes_the_gate(openai_endpoint: OpenAIEndpoint) -> None:
    openai_endpoint.will(CALLS)
    gate = NotingGate()
    await probe(spec_of(openai_endpoint, ToolMode.AUTO), gate=gate)
    assert len(gate.settled) == 1
