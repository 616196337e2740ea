"""What Slack signed and has no shape of Slack's is refused by name; what can be read is."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from server.slack import modals, shaped
from server.slack.refusals import UnreadableError
from tests.server.slack import events
from tests.server.slack.desk import Desk
from tests.server.surface import ANSWER, Team

CLICK = {"type": "block_actions", "user": {"id": "U0ANN"}}
SENT = {"type": "view_submission", "user": {"id": "U0ANN"}}


def form(payload: dict[str, Any]) -> str:
    return urlencode({"payload": json.dumps(payload)})


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (json.dumps({"type": "event_callback", "event": None}), "event has no type"),
        (json.dumps({"type": "event_callback", "event": "x"}), "event is no object"),
        (json.dumps({"type": "event_callback", "event": {"type": []}}), "event has no type"),
        (form({**CLICK, "actions": []}), "actions is no list"),
        (form({**CLICK, "actions": [{}]}), "an action has no action_id"),
        (form({**CLICK, "channel": "C0", "actions": [{"action_id": "x"}]}), "channel is no object"),
        (form({**SENT, "view": {"type": "modal"}}), "view has no callback_id"),
        (form({**SENT, "view": {"type": "modal", "state": []}}), "view.state is no object"),
    ],
    ids=["none", "text", "list", "nothing", "nameless", "place", "unnamed", "state"],
)
async def test_a_signed_request_of_no_shape_of_slacks_is_refused_by_what_is_wrong(
    desk: Desk, body: str, named: str
) -> None:
    reply = await desk.send(body)
    assert reply.status_code == 422
    assert named in reply.json()["detail"]


def test_a_dialog_without_its_text_says_nothing() -> None:
    for state in (None, {"values": None}, {"values": {"message": None}}):
        assert modals.message_of({"callback_id": "approval_rejected", "state": state}) == ""


async def test_half_a_character_and_a_huge_number_lose_no_question(desk: Desk, team: Team) -> None:
    body = events.mention(
        "Why \ud83d?",
        files=[{"id": "F1", "size": "9" * 5_000}],
        blocks=[{"elements": [10**30, 10**400]}],
    )
    assert (await desk.send(body)).status_code == 200
    await desk.settled()
    assert str(team.asked[0].asked.messages[0]["content"]).startswith("Why ??")
    assert ANSWER in desk.double.said("C0GENERAL")[0].shown


def test_what_is_nested_too_deep_is_refused() -> None:
    body: Any = {}
    for _ in range(shaped.DEEPEST):
        body = {"in": body}
    with pytest.raises(UnreadableError, match="100 deep"):
        shaped.check(body)
    shaped.check(body["in"])
