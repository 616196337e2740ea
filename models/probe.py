"""Finds out, once for a model, whether it really calls tools; the caller keeps the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage

from models.attempts import AttemptGate
from models.chat import EndpointModel, build
from models.constrained import Constrained
from models.dialect import Request
from models.errors import MalformedStep, ModelFailed, ModelRefused, ToolsUnsupported
from models.native import Native
from models.registry import ModelSpec, ToolMode
from models.retry import Retry
from models.schema import Step

_MAX_TOKENS = 256
_GET_TIME: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_time",
        "description": "Tells the time in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 40}},
            "required": ["city"],
        },
    },
}
# Nothing in the prompt asks for this shape: only an enforced schema brings it about.
_SHAPE: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"const": "greeting"}, "formal": {"type": "boolean"}},
    "required": ["kind", "formal"],
}


class _Unprompted(Constrained):
    """Sends the schema and says nothing of it."""

    def request(self, messages: Sequence[BaseMessage], step: Step) -> Request:
        return Request(messages=list(messages), options=super().request(messages, step).options)


async def probe(
    spec: ModelSpec, *, retry: Retry | None = None, gate: AttemptGate | None = None
) -> ToolMode:
    """``native`` or ``constrained``, by at most two small requests.

    A spec that says which is believed without asking. Raises ``ToolsUnsupported`` where the model
    does neither, and other ``ModelError``s where it cannot be reached.
    """
    if spec.tools is not ToolMode.AUTO:
        return spec.tools
    if await _calls_tools(spec, retry=retry, gate=gate):
        return ToolMode.NATIVE
    if await _honours_schemas(spec, retry=retry, gate=gate):
        return ToolMode.CONSTRAINED
    raise ToolsUnsupported(
        f"model '{spec.name}' at {spec.place} neither calls tools nor honours a response_format of "
        "type json_schema; serve it with vLLM or llama.cpp, or choose another model",
        model=spec.name,
    )


async def _calls_tools(spec: ModelSpec, *, retry: Retry | None, gate: AttemptGate | None) -> bool:
    native = build(replace(spec, tools=ToolMode.NATIVE), retry=retry)
    # Whether the server sees a call is asked here.
    model = native.speaking(Native(reads_text=False))
    try:
        question = HumanMessage("Call get_time for Paris.")
        reply = await model.call([question], tools=[_GET_TIME], max_tokens=_MAX_TOKENS, gate=gate)
        return any(call["name"] == "get_time" for call in reply.message.tool_calls)
    except (MalformedStep, ModelRefused, ModelFailed):
        # A server that was not started for tools answers 400 or 500 to any request with them.
        return False
    finally:
        await model.aclose()


async def _honours_schemas(
    spec: ModelSpec, *, retry: Retry | None, gate: AttemptGate | None
) -> bool:
    plain = build(replace(spec, tools=ToolMode.CONSTRAINED), retry=retry)
    model: EndpointModel = plain.speaking(_Unprompted())
    try:
        await model.call(
            [HumanMessage("Say hello.")], answer=_SHAPE, max_tokens=_MAX_TOKENS, gate=gate
        )
    except (MalformedStep, ModelRefused):
        return False
    finally:
        await model.aclose()
    return True
