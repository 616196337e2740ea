"""Approvals in Slack over real parts: the queue in Redis, Bolt with its signatures, the double."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import httpx
from fastapi import FastAPI

from graphs.event_log import EventLog
from graphs.saver import RedisSaver
from server import errors
from server.approvals.record import Approval, ApprovalStatus
from server.artifacts.memory import MemoryThreadFiles
from server.audit.log import Audit
from server.routes.slack import take
from server.runs.asked import of_messages
from server.runs.feedback import Feedbacks
from server.settings import Settings
from server.slack import forms, opening
from server.slack.cards import Reference
from server.slack.context import METADATA, Place
from server.slack.desk import desk as slack_desk
from server.slack.opening import Slack
from server.threads.records import RedisThreads
from tests.server.approvals.desk import Desk, asking
from tests.server.slack import block_kit, events
from tests.server.slack.double import BOT_TOKEN, SECRET, TEAM, SlackDouble
from tests.server.slack.messages import Message

CHANNEL = "C0GENERAL"
APPROVALS = "C0APPROVE"
THREAD = "1700000000.000100"
ANN, OLGA, OTTO, EVE, STRANGER = "U0ANN", "U0OLGA", "U0OTTO", "U0EVE", "U0STRANGER"
PEOPLE = [
    {"user": ANN, "name": "ann"},
    {"user": OLGA, "name": "olga", "roles": ["user", "operator"]},
    {"user": OTTO, "name": "otto", "roles": ["user", "operator"]},
    {"user": EVE, "name": "eve", "roles": ["user", "operator"], "tenant": "other"},
]


CHECKED = {
    "chat.postMessage": "message",
    "chat.update": "message",
    "views.open": "view",
    "views.publish": "view",
}


def place(user: str = ANN) -> Place:
    return Place(team=TEAM, channel=CHANNEL, thread_ts=THREAD, ts=THREAD, user=user, user_team=TEAM)


@dataclass(kw_only=True)
class Office:
    """A queue, a Slack, and servers of ours between the two."""

    desk: Desk
    slack: SlackDouble
    settings: Settings
    servers: list[Slack] = field(default_factory=list)

    def check_limits(self) -> None:
        """Everything that was sent keeps to the limits of Block Kit."""
        for call in self.slack.calls:
            if CHECKED.get(call.method) == "view":
                view = call.body["view"]
                block_kit.view(json.loads(view) if isinstance(view, str) else view)
            elif call.method in CHECKED and "blocks" in call.body:
                block_kit.message(call.body)

    @asynccontextmanager
    async def server(self, *, lease_seconds: float = 30.0) -> AsyncIterator[Slack]:
        """One replica."""
        at = self.desk
        log, saver = EventLog(at.redis, at.keys), RedisSaver(at.redis, at.keys)
        async with opening.opened(
            self.settings,
            redis=at.redis,
            keys=at.keys,
            approvals=at.approvals,
            runs=at.runs,
            threads=RedisThreads(at.redis, at.keys, saver=saver, log=log),
            files=MemoryThreadFiles(),
            audit=Audit(at.redis, at.keys),
            feedback=Feedbacks(at.redis, at.keys),
            deciding=slack_desk(),
            lease_seconds=lease_seconds,
        ) as made:
            self.servers.append(made)
            yield made
            self.servers.remove(made)

    async def ask(self, *, user: str = "ann", from_slack: bool = True, **given: Any) -> Approval:
        """A run, asked in Slack or elsewhere, waits for a person."""
        asked = replace(
            of_messages([{"role": "user", "content": "Refund A-7"}]),
            user=user,
            metadata={METADATA: place().stored()} if from_slack else {},
        )
        made = await self.desk.runs.create(
            asked,
            thread_id=f"t{next(self.desk.numbers)}",
            tenant=given.get("tenant", "default"),
        )
        run = await self.desk.claimed(made.run_id)
        new = asking(run, **{"requested_by": user, **given})
        return (await self.desk.pause(run, new))[0]

    async def send(self, body: str, **signed: Any) -> httpx.Response:
        """A request of Slack's, to the first server that is there."""
        return await self.send_to(self.servers[0], body, **signed)

    async def send_to(self, server: Slack, body: str, **signed: Any) -> httpx.Response:
        app = FastAPI()
        errors.install(app)
        app.add_route("/slack/events", partial(take, server), methods=["POST"])
        headers = {"content-type": events.form_type(body), **self.slack.signed(body, **signed)}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://counterpoint"
        ) as client:
            return await client.post("/slack/events", content=body, headers=headers)

    async def card(self, one: Approval, *, with_: str = "") -> Message:
        """The card of an approval, once it is there and says this."""

        def found() -> Message | None:
            return next(
                (
                    message
                    for message in self.slack.messages.values()
                    if one.approval_id in json.dumps(message.blocks)
                    and with_ in json.dumps(message.blocks, ensure_ascii=False)
                ),
                None,
            )

        shown = await self.slack.until(found)
        assert isinstance(shown, Message)
        return shown

    async def click(
        self, action: str, one: Approval | str, *, user: str, **more: Any
    ) -> httpx.Response:
        """Somebody clicks a button of a card; a text is the value itself."""
        value = one if isinstance(one, str) else str(Reference.of(one))
        given = {"channel": CHANNEL, "thread_ts": THREAD, **more}
        return await self.send(events.click(action, value, user=user, **given))

    async def submit(
        self, view: Mapping[str, Any], *, user: str, typed: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Somebody sends a dialog with this typed into it; what Slack is answered."""
        told = {
            "callback_id": view["callback_id"],
            "private_metadata": view["private_metadata"],
            "state": {"values": dict(typed)},
        }
        reply = await self.send(events.submission(told, user=user))
        assert reply.status_code == 200
        return reply.json() if reply.content else {}

    async def opened(self, count: int = 1) -> dict[str, Any]:
        """The dialog that was opened last, once there are so many."""
        await self.slack.until(lambda: len(self.slack.of("views.open")) >= count)
        view = self.slack.of("views.open")[-1]["view"]
        return json.loads(view) if isinstance(view, str) else dict(view)

    async def told(self, user: str, words: str) -> Message:
        """What somebody was told in private, once it was."""

        def found() -> Message | None:
            return next(
                (
                    one
                    for one in self.slack.ephemerals
                    if one.ephemeral_to == user and words in one.text
                ),
                None,
            )

        shown = await self.slack.until(found)
        assert isinstance(shown, Message)
        return shown


def settings_of(slack: SlackDouble, **given: Any) -> Settings:
    told: dict[str, Any] = {
        "slack_bot_token": BOT_TOKEN,
        "slack_signing_secret": SECRET,
        "slack_api_url": slack.api_url,
        "slack_people": PEOPLE,
        **given,
    }
    return Settings(**told)


def typed_of(view: Mapping[str, Any], **typed: str) -> dict[str, Any]:
    """A dialog's state with this typed at its labels."""
    state: dict[str, Any] = {}
    for block in view["blocks"]:
        if block["type"] != "input":
            continue
        element, name = block["element"], block["label"]["text"].removesuffix(" *")
        told: dict[str, Any] = {"type": element["type"]}
        if element["type"] == "static_select":
            now = element.get("initial_option")
            wanted = typed.get(name)
            told["selected_option"] = {"value": wanted} if wanted else now
        else:
            told["value"] = typed.get(name, element.get("initial_value")) or None
        state[block["block_id"]] = {element["action_id"]: told}
    return state


async def status_of(office: Office, one: Approval) -> ApprovalStatus:
    return (await office.desk.approvals.get(one.approval_id, tenant=one.tenant)).status


async def more_told(office: Office, before: int) -> None:
    """Somebody was told one more thing in private."""
    await office.slack.until(lambda: len(office.slack.ephemerals) > before)


async def published(office: Office, user: str, words: str) -> dict[str, Any]:
    """The last tab of somebody, once it says this."""

    def found() -> dict[str, Any] | None:
        shown = [one for one in office.slack.views if one.get("user_id") == user]
        return shown[-1]["view"] if shown and words in json.dumps(shown[-1]["view"]) else None

    view = await office.slack.until(found)
    assert isinstance(view, dict)
    return view


def untouched(blocks: list[Any]) -> dict[str, Any]:
    """What Slack sends of a form that nobody touched."""
    state = {}
    for block in blocks:
        if block["type"] == "input":
            element = block["element"]
            told: dict[str, Any] = {"type": element["type"]}
            if element["type"] == "static_select":
                told["selected_option"] = element.get("initial_option")
            else:
                told["value"] = element.get("initial_value")
            state[block["block_id"]] = {forms.VALUE: told}
    return state
