"""The real program: what is asked in Slack is decided on the command line, and in Slack."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from models.schema import ANSWER
from server.slack import cards, forms, modals
from tests.doubles.openai_endpoint import Call, OpenAIEndpoint, Request, Says
from tests.server.cli.program import Program
from tests.server.slack import block_kit, events
from tests.server.slack.double import BOT_TOKEN, SECRET, SlackDouble
from tests.server.slack.messages import Message

CHANNEL = "C0GENERAL"
POLICY = json.dumps([{"tool": "*", "effect": "ask", "self_approval": True}])
REFERENCE = re.compile(r"[0-9a-f-]{36}:[0-9a-f]{64}")


class Planning(OpenAIEndpoint):
    """A coordinator that hands on work, for which the policy asks about each search."""

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> None:
        plan = {"move": "research", "text": "", "tasks": ["Look", "Look again"]}
        schema = json.dumps(request.body.get("tools", []))
        typed = Says(calls=(Call(name=ANSWER, args=json.dumps(plan)),))
        self.will(typed if '"move"' in schema else Says(text="The documents do not say."))
        await super()._reply(request, writer)


@pytest.fixture
async def model() -> AsyncIterator[OpenAIEndpoint]:
    made = Planning()
    await made.start()
    yield made
    await made.aclose()


@pytest.mark.siege
@pytest.mark.timeout(240)
async def test_of_two_calls_asked_in_slack_the_command_line_approves_one_and_slack_rejects_one(
    folder: Path, tmp_path: Path, model: OpenAIEndpoint, double: SlackDouble
) -> None:
    program = Program(
        data_dir=folder / "data",
        home=tmp_path,
        variables={
            "COUNTERPOINT_MODEL_URL": model.url,
            "COUNTERPOINT_MODEL": "double",
            "COUNTERPOINT_MODEL_TOOLS": "native",
            "COUNTERPOINT_POLICY": POLICY,
            "COUNTERPOINT_SLACK_API_URL": double.api_url,
            "COUNTERPOINT_SLACK_DEFAULT_ROLE": "operator",
            "SLACK_BOT_TOKEN": BOT_TOKEN,
            "SLACK_SIGNING_SECRET": SECRET,
        },
    )
    double.users["U0ANN"] = {"id": "U0ANN", "team_id": "T0OWN", "profile": {}}

    def card(words: str) -> Message | None:
        return next((one for one in double.said(CHANNEL) if words in json.dumps(one.blocks)), None)

    async with program.up() as running:
        await running.ready()

        async def send(body: str) -> httpx.Response:
            headers = {"Content-Type": events.form_type(body), **double.signed(body)}
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                return await client.post(
                    f"{running.url}/slack/events", content=body, headers=headers
                )

        assert (await send(events.mention())).status_code == 200
        asked = await double.until(lambda: card(cards.APPROVE))
        reference = REFERENCE.findall(json.dumps(asked.blocks))[0]
        approval_id = reference.partition(":")[0]
        done = await program.run("approvals", "approve", approval_id, "--message", "go on")
        assert done.code == 0, done.err
        first = await double.until(lambda: card("on the command line"))
        assert first is asked
        again = await double.until(lambda: card(cards.APPROVE))
        assert again is not asked
        value = REFERENCE.findall(json.dumps(again.blocks))[0]
        await send(events.click(cards.REJECT, value, channel=CHANNEL, ts=again.ts))
        (view,) = await double.until(lambda: double.of("views.open"))
        shown = view["view"]
        block_kit.view(shown)
        told = {
            "callback_id": shown["callback_id"],
            "private_metadata": shown["private_metadata"],
            "state": {"values": {modals.MESSAGE: {forms.VALUE: {"value": "It is enough."}}}},
        }
        assert (await send(events.submission(told))).status_code == 200
        await double.until(lambda: card("It is enough."))
