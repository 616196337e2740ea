"""The real program, killed in the middle of what it tells: nothing hangs, nothing comes twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from models.schema import ANSWER
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Request, Says
from tests.server.cli.program import Program, Running
from tests.server.slack import events
from tests.server.slack.double import BOT_TOKEN, SECRET, SlackDouble

CHANNEL = "C0GENERAL"
SAID = "Within 45 days of the payment."
WHOLE = "\n".join(f"{number}. {SAID}" for number in range(1, 9))


class Replying(OpenAIEndpoint):
    """A coordinator that says one thing once it is let go, however often it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.let_go = asyncio.Event()

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self.let_go.wait()
        plan = {"move": "reply", "text": WHOLE, "tasks": []}
        self.will(Says(calls=(Call(name=ANSWER, args=json.dumps(plan)),), usage=(50, 10)))
        await super()._reply(request, writer)


@pytest.fixture
async def model() -> AsyncIterator[Replying]:
    made = Replying()
    await made.start()
    yield made
    await made.aclose()


@asynccontextmanager
async def up(program: Program) -> AsyncIterator[Running]:
    async with program.up() as running:
        await running.ready()
        yield running


async def send(running: Running, double: SlackDouble, body: str) -> int:
    headers = {"Content-Type": events.form_type(body), **double.signed(body)}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
        reply = await client.post(f"{running.url}/slack/events", content=body, headers=headers)
    return reply.status_code


@pytest.mark.siege
@pytest.mark.timeout(240)
async def test_a_server_killed_while_it_tells_goes_on_after_its_restart(
    folder: Path, tmp_path: Path, model: Replying, double: SlackDouble
) -> None:
    program = Program(
        data_dir=folder / "data",
        home=tmp_path,
        variables={
            "COUNTERPOINT_MODEL_URL": model.url,
            "COUNTERPOINT_MODEL": "double",
            "COUNTERPOINT_MODEL_TOOLS": "native",
            "COUNTERPOINT_SLACK_API_URL": double.api_url,
            "COUNTERPOINT_SLACK_DEFAULT_ROLE": "user",
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_SIGNING_SECRET": SECRET,
        },
    )
    double.users["U0ANN"] = {"id": "U0ANN", "team_id": "T0OWN", "profile": {}}
    with double.held("chat.appendStream", saying=SAID):
        async with up(program) as running:
            assert await send(running, double, events.mention()) == 200
            await double.until(lambda: double.hanging)
            model.let_go.set()
            # A piece of the answer is there, and nobody was told so.
            await double.until(lambda: SAID in _markdown(double))
            running.process.kill()
            await running.process.wait()
        assert double.hanging
        async with up(program) as running:
            await double.until(lambda: not double.hanging)
            await double.until(lambda: "answer_feedback" in str(double.said(CHANNEL)))
            log = "".join(running.said)
    assert _markdown(double) == WHOLE
    assert double.hanging == []
    assert len(double.said(CHANNEL)) == 1
    assert BOT_TOKEN not in log
    assert SECRET not in log


def _markdown(double: SlackDouble) -> str:
    found = []
    for one in double.said(CHANNEL):
        marked = [block["text"] for block in one.blocks if block["type"] == "markdown"]
        found.append("".join(marked) or one.text)
    return "".join(found)
