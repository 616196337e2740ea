"""Two steps of one agent share the beginning of their prompts, so that a prefix cache serves it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise, takewhile
from typing import Any

import pytest

from models.chat import EndpointModel, build
from models.registry import ToolMode
from tests.doubles.openai_endpoint import Behaviour, Call, OpenAIEndpoint, Says
from tests.graphs.team_house import DIEM, LEAVE, REFUND, House, passage
from tests.models.chatting import spec_of
from tools.sandbox.sandbox import Execution, Outcome
from tools.sandbox.scripted import ScriptedSandbox


@asynccontextmanager
async def asked_of(
    endpoint: OpenAIEndpoint, mode: ToolMode, *script: Behaviour
) -> AsyncIterator[EndpointModel]:
    endpoint.will(*script)
    model = build(spec_of(endpoint, mode, timeout=30.0))
    try:
        yield model
    finally:
        await model.aclose()


def as_templates_write_it(body: Mapping[str, Any]) -> str:
    """System text, then tools, then turns: the order of ChatML and of Hermes' tools."""
    messages: Sequence[Mapping[str, Any]] = body["messages"]
    system = [one for one in messages if one["role"] == "system"]
    turns = [one for one in messages if one["role"] != "system"]
    first = "".join(str(one["content"]) for one in system)
    return f"{first}\n{json.dumps(body.get('tools'))}\n" + "".join(
        f"<|im_start|>{one['role']}\n{one.get('content') or ''}{one.get('tool_calls') or ''}"
        for one in turns
    )


def shared(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[int, int]:
    """How many characters both begin with, and how long the first one is."""
    before, after = as_templates_write_it(first), as_templates_write_it(second)
    pairs = zip(before, after, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs)), len(before)


def ran(outcome: Outcome) -> Execution:
    failed = outcome is Outcome.FAILED
    return Execution(
        stdout="" if failed else "124",
        stderr="NameError" if failed else "",
        outcome=outcome,
        exit_code=int(failed),
        seconds=0.1,
    )


def writes(mode: ToolMode, code: str) -> Says:
    if mode is ToolMode.NATIVE:
        return Says(calls=(Call(name="run_python", args=json.dumps({"code": code})),))
    return Says(text=f"```python\n{code}\n```")


@pytest.mark.parametrize("mode", [ToolMode.NATIVE, ToolMode.CONSTRAINED])
async def test_the_step_after_a_program_begins_with_all_of_the_step_before(
    openai_endpoint: OpenAIEndpoint, mode: ToolMode
) -> None:
    script = [writes(mode, "print(two * 62)"), writes(mode, "print(2 * 62)")]
    if mode is ToolMode.NATIVE:
        script.append(Says(text="124 EUR."))
    sandbox = ScriptedSandbox([ran(Outcome.FAILED), ran(Outcome.FINISHED)])
    async with asked_of(openai_endpoint, mode, *script) as model:
        house = House(model, sandbox=sandbox, found={"": [passage(DIEM, chunk_id="d")]})
        await house.answered("What are two days in Denmark?", agent="coder")
    bodies = [request.body for request in openai_endpoint.requests]
    assert len(bodies) == len(script)
    for first, second in pairwise(bodies):
        assert first["messages"][0]["role"] == "system"
        assert second.get("tools") == first.get("tools")
        same, whole = shared(first, second)
        assert same == whole


async def test_what_another_search_finds_is_written_behind_what_was_found_before(
    openai_endpoint: OpenAIEndpoint,
) -> None:
    again = Says(calls=(Call(name="search_documents", args='{"query": "leave"}'),))
    script = [again, Says(text="28 days [2].")]
    found = {
        "leave": [passage(LEAVE, chunk_id="leave")],
        "": [passage(REFUND, chunk_id="refund")],
    }
    async with asked_of(openai_endpoint, ToolMode.NATIVE, *script) as model:
        house = House(model, found=found)
        await house.answered("How much holiday is there?", agent="researcher")
    first, second = (request.body for request in openai_endpoint.requests[:2])
    text = as_templates_write_it(first)
    same, _ = shared(first, second)
    assert same >= text.index(REFUND) + len(REFUND)
