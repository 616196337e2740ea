"""An endpoint of one's own by `COUNTERPOINT_MODEL_URL`: the program answers, or says why not."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.schema import ANSWER
from server.exits import Exit
from tests.doubles.openai_endpoint import Call, Cut, Fails, OpenAIEndpoint, Request, Says
from tests.server.cli.program import Ended, Program

QUESTION = "How many days do I have to return an annual plan?"
SAID = "Within 45 days of the payment [1]."
SECRET = "sk-hush-4711"
PLAN = {"move": "research", "text": "", "tasks": [QUESTION]}
JUDGED = {"reason": "the passage says so", "supported": True}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "plans.md").write_text(
        "# Plans\n\n## Money back\n\n"
        "An annual plan can be returned within 45 days of the payment.\n"
    )
    return folder


def called(answer: Mapping[str, Any]) -> Says:
    """A native model's typed answer is one more tool."""
    return Says(calls=(Call(name=ANSWER, args=json.dumps(answer)),))


def having(program: Program, **variables: str) -> Program:
    named = {f"COUNTERPOINT_MODEL_{name.upper()}": value for name, value in variables.items()}
    return replace(program, variables={**program.variables, **named})


def answered(ended: Ended) -> None:
    assert ended.code == Exit.OK, ended.err
    answer = ended.out.index(SAID)
    assert ended.out.index("[1] handbook/plans.md, Money back", answer)
    assert "An annual plan can be returned within 45 days" in ended.out[answer:]


def error_line(ended: Ended) -> str:
    (line,) = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in ended.out + ended.err
    return line


def prompt(request: Request) -> str:
    return json.dumps(request.body["messages"])


@pytest.mark.siege
async def test_a_native_endpoint_answers_is_tried_again_when_cut_and_may_refuse_the_key(
    program: Program, openai_endpoint: OpenAIEndpoint, docs: Path
) -> None:
    keyed = having(program, key=SECRET)
    async with keyed.up() as running:
        await running.ready()
        openai_endpoint.will(
            called(PLAN), Says(text=SAID, cut=Cut.RESET), Says(text=SAID), called(JUDGED)
        )
        told = await keyed.run("ask", QUESTION, "--docs", str(docs))
        answered(told)
        assert told.out.count(SAID) == 1, "what came before the cut is not told twice"
        plan, cut, again, judged = openai_endpoint.requests
        assert cut.body == again.body
        assert "within 45 days" in prompt(again)
        for request in (plan, judged):
            assert ANSWER in {tool["function"]["name"] for tool in request.body["tools"]}
        for request in openai_endpoint.requests:
            assert request.path == "/v1/chat/completions"
            assert request.body["model"] == "double"
            assert request.headers["authorization"] == f"Bearer {SECRET}"

        openai_endpoint.will(Fails(status=401, message=f"Incorrect API key: {SECRET}"))
        refused = await keyed.run("ask", QUESTION, "--docs", str(docs))
        assert refused.code == Exit.FAILED
        line = error_line(refused)
        assert "401" in line
        assert "COUNTERPOINT_MODEL_KEY" in line
        running.process.terminate()
        assert await running.ended() == 0
    for said in (*running.said, told.out, told.err, refused.out, refused.err):
        assert SECRET not in said


@pytest.mark.siege
async def test_a_constrained_endpoint_answers_and_a_second_reading_is_its_critic(
    program: Program, openai_endpoint: OpenAIEndpoint, docs: Path
) -> None:
    openai_endpoint.will(
        Says(text=json.dumps(PLAN)), Says(text=SAID), Says(text="You have 45 days [1].")
    )
    constrained = having(program, tools="constrained")
    answered(await constrained.run("ask", QUESTION, "--docs", str(docs), alone=True))
    plan, read, again = openai_endpoint.requests
    assert plan.body["response_format"]["type"] == "json_schema"
    for request in (plan, read, again):
        assert "tools" not in request.body
    for request in (read, again):
        assert "response_format" not in request.body
        assert "within 45 days" in prompt(request)
    assert SAID not in prompt(again), "the second reading is blind"


async def test_an_address_that_refuses_connections_is_named_with_the_remedy(
    program: Program, docs: Path
) -> None:
    with socket.socket() as nobody:
        # Bound and not listening: taken by no one else, and connections are refused.
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        lost = having(program, url=url, key=SECRET, tools="auto")
        ended = await lost.run("ask", QUESTION, "--docs", str(docs), alone=True)
    assert ended.code == Exit.UNAVAILABLE
    line = error_line(ended)
    assert f"{url} refuses connections" in line
    assert "COUNTERPOINT_MODEL_URL" in line
    assert SECRET not in ended.out + ended.err
