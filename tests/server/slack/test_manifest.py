"""deploy/slack/manifest.yaml gives the app what the code uses, and no more."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from server.routes import slack
from server.slack import reading
from server.slack.receiving import HOME_OPENED

ROOT = Path(__file__).parent.parent.parent.parent
MANIFEST = ROOT / "deploy" / "slack" / "manifest.yaml"
METHOD = re.compile(r"(apps|assistant|auth|chat|conversations|files|users|views)(\.[a-zA-Z]+)+")
HISTORY = {"channels:history", "groups:history", "im:history", "mpim:history"}
SCOPES = {
    "assistant.threads.setStatus": {"assistant:write"},
    "assistant.threads.setSuggestedPrompts": {"assistant:write"},
    "auth.test": set(),
    "chat.appendStream": {"chat:write"},
    "chat.postEphemeral": {"chat:write"},
    "chat.postMessage": {"chat:write"},
    "chat.startStream": {"chat:write"},
    "chat.stopStream": {"chat:write"},
    "chat.update": {"chat:write"},
    "conversations.history": HISTORY,
    "conversations.replies": HISTORY,
    "files.completeUploadExternal": {"files:write"},
    "files.getUploadURLExternal": {"files:write"},
    "files.info": {"files:read"},
    "users.info": {"users:read", "users:read.email"},
    "views.open": set(),
    "views.publish": set(),
}
"""What a bot's token needs for each method that we call, by Slack's reference."""
EVENTS = {
    "app_home_opened": set(),
    "app_mention": {"app_mentions:read"},
    "assistant_thread_started": {"assistant:write"},
    "message.im": {"im:history"},
}
DOWNLOADS = {"files:read"}


def _manifest(text: str) -> dict[str, Any]:
    found = yaml.safe_load(text)
    assert isinstance(found, dict)
    return found


def _called() -> Iterator[str]:
    """Every name of a method of Slack's in our code."""
    for path in sorted((ROOT / "server" / "slack").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            word = node.value if isinstance(node, ast.Constant) else None
            if isinstance(word, str) and METHOD.fullmatch(word):
                yield word


def test_every_method_that_is_called_has_its_scope_and_no_scope_is_idle() -> None:
    given = set(_manifest(MANIFEST.read_text())["oauth_config"]["scopes"]["bot"])
    called = set(_called())
    assert called == set(SCOPES)
    needed = set().union(*(SCOPES[one] for one in called), *EVENTS.values(), DOWNLOADS)
    assert given == needed


def test_the_events_are_those_that_are_read() -> None:
    found = _manifest(MANIFEST.read_text())["settings"]["event_subscriptions"]["bot_events"]
    assert sorted(found) == sorted(EVENTS)
    assert {one.partition(".")[0] for one in found} == {*reading.KINDS, HOME_OPENED}


@pytest.mark.parametrize("http", [False, True])
def test_it_stands_for_socket_mode_and_with_its_comments_off_for_http(http: bool) -> None:
    text = MANIFEST.read_text()
    if http:
        text = text.replace("# request_url:", "request_url:").replace(
            "socket_mode_enabled: true", "socket_mode_enabled: false"
        )
    found = _manifest(text)["settings"]
    assert found["interactivity"]["is_enabled"] is True
    assert found["socket_mode_enabled"] is not http
    urls = [found[name].get("request_url") for name in ("event_subscriptions", "interactivity")]
    assert urls == ([f"https://counterpoint.example.com{slack.PATH}"] * 2 if http else [None] * 2)


def test_the_home_tab_messages_and_the_pane_are_there() -> None:
    found = _manifest(MANIFEST.read_text())
    features = found["features"]
    assert features["app_home"] == {
        "home_tab_enabled": True,
        "messages_tab_enabled": True,
        "messages_tab_read_only_enabled": False,
    }
    assert features["assistant_view"]["assistant_description"]
    assert len(found["display_information"]["name"]) <= 35
    assert len(found["display_information"]["description"]) <= 140
