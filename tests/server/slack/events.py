"""What Slack sends: events, clicks and views, as it sends them."""

from __future__ import annotations

import itertools
import json
from typing import Any
from urllib.parse import urlencode

from tests.server.slack.double import TEAM
from tests.server.slack.messages import BOT_USER

_COUNT = itertools.count(1)


def event_of(event: dict[str, Any], *, event_id: str | None = None, team: str = TEAM) -> str:
    """An event's whole body, as it is signed."""
    return json.dumps(
        {
            "token": "unused",
            "team_id": team,
            "api_app_id": "A0APP",
            "type": "event_callback",
            "event_id": event_id or f"Ev{next(_COUNT):08d}",
            "event_time": 1_700_000_000,
            "authorizations": [{"team_id": team, "user_id": BOT_USER, "is_bot": True}],
            "event": event,
        }
    )


def mention(
    text: str = "How long is the return window?",
    *,
    user: str = "U0ANN",
    channel: str = "C0GENERAL",
    ts: str = "1700000000.000100",
    thread_ts: str | None = None,
    team: str = TEAM,
    event_id: str | None = None,
    **more: Any,
) -> str:
    """Somebody mentions the bot in a channel."""
    event = {
        "type": "app_mention",
        "user": user,
        "team": team,
        "text": f"<@{BOT_USER}> {text}",
        "channel": channel,
        "ts": ts,
        "event_ts": ts,
        **({"thread_ts": thread_ts} if thread_ts else {}),
        **more,
    }
    return event_of(event, event_id=event_id)


def direct(
    text: str = "How long is the return window?",
    *,
    user: str = "U0ANN",
    channel: str = "D0ANN",
    ts: str = "1700000000.000100",
    event_id: str | None = None,
    **more: Any,
) -> str:
    """Somebody writes to the bot alone."""
    event = {
        "type": "message",
        "channel_type": "im",
        "user": user,
        "team": TEAM,
        "text": text,
        "channel": channel,
        "ts": ts,
        "event_ts": ts,
        **more,
    }
    return event_of(event, event_id=event_id)


def pane_opened(*, user: str = "U0ANN", channel: str = "D0ANN", thread_ts: str = "1700.1") -> str:
    """Somebody opens the assistant's pane."""
    thread = {"user_id": user, "channel_id": channel, "thread_ts": thread_ts, "context": {}}
    return event_of({"type": "assistant_thread_started", "assistant_thread": thread})


def home_opened(*, user: str = "U0ANN") -> str:
    """Somebody opens the app's home."""
    return event_of({"type": "app_home_opened", "user": user, "channel": "D0ANN", "tab": "home"})


def interaction(payload: dict[str, Any], *, user: str = "U0ANN", team: str = TEAM) -> str:
    """A click or a submitted view, as the form that is signed."""
    told = {
        "api_app_id": "A0APP",
        "token": "unused",
        "team": {"id": team, "domain": "own"},
        "user": {"id": user, "username": user.lower(), "name": user.lower(), "team_id": team},
        "trigger_id": f"{next(_COUNT)}.trigger",
        **payload,
    }
    return urlencode({"payload": json.dumps(told)})


def click(
    action_id: str,
    value: str,
    *,
    user: str = "U0ANN",
    team: str = TEAM,
    channel: str = "C0GENERAL",
    ts: str = "1700000001.000001",
    thread_ts: str | None = None,
    response_url: str = "",
    **more: Any,
) -> str:
    """Somebody clicks a button."""
    message = {"type": "message", "ts": ts, **({"thread_ts": thread_ts} if thread_ts else {})}
    return interaction(
        {
            "type": "block_actions",
            "container": {"type": "message", "message_ts": ts, "channel_id": channel},
            "channel": {"id": channel, "name": "general"},
            "message": message,
            "response_url": response_url,
            "actions": [
                {
                    "action_id": action_id,
                    "block_id": "b1",
                    "type": "button",
                    "value": value,
                    "action_ts": "1700000002.000001",
                }
            ],
            **more,
        },
        user=user,
        team=team,
    )


def submission(view: dict[str, Any], *, user: str = "U0ANN", team: str = TEAM) -> str:
    """Somebody submits a modal."""
    told = {"id": "V1", "hash": "1.1", "type": "modal", "private_metadata": "", **view}
    return interaction({"type": "view_submission", "view": told}, user=user, team=team)


def envelope(kind: str, payload: str, *, envelope_id: str = "e1") -> dict[str, Any]:
    """Something by Socket Mode: ``events_api`` or ``interactive``."""
    return {
        "envelope_id": envelope_id,
        "type": kind,
        "accepts_response_payload": False,
        "payload": json.loads(payload),
    }


def form_type(body: str) -> str:
    """The media type that Slack sends a body with."""
    return "application/json" if body.startswith("{") else "application/x-www-form-urlencoded"
