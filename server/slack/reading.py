"""What an event of Slack's asks for. Pure.

Only a person's own message asks: nothing that a bot wrote, nothing of ours, no edits, no joins.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.slack.context import Place

KINDS = frozenset({"app_mention", "message", "assistant_thread_started"})
"""The types of events that are kept until they are done."""
MOST_FILES = 10
_DIGITS = 18
_ASKS = frozenset({"", "file_share", "thread_broadcast"})
_ENTITY = re.compile(r"<([^<>]+)>")


@dataclass(frozen=True, kw_only=True)
class SharedFile:
    """A file as an event names it; ``size`` in bytes, as Slack says. Without a ``url`` Slack has
    to be asked for the rest, as for files of another workspace."""

    file_id: str
    name: str
    media_type: str
    size: int
    url: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """Somebody asks: ``text`` as people read it. ``direct``: nobody else reads along."""

    place: Place
    text: str
    files: Sequence[SharedFile] = ()
    left_out: int = 0
    direct: bool = False


@dataclass(frozen=True, kw_only=True)
class PaneOpened:
    """Somebody opened the assistant's pane, in which nothing was asked yet."""

    place: Place


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Nobody asks; ``why`` is for the log."""

    why: str


def read(body: Mapping[str, Any]) -> Question | PaneOpened | Nothing:
    """What an event asks for; ``body`` is its whole request, as Slack has signed it."""
    event = body.get("event")
    if not isinstance(event, Mapping):
        return Nothing(why="no event")
    if event.get("type") == "assistant_thread_started":
        return _pane(body, event)
    us = bot_users(body)
    subtype, user = str(event.get("subtype") or ""), str(event.get("user") or "")
    if event.get("bot_id") or event.get("bot_profile") or subtype == "bot_message":
        return Nothing(why="a bot wrote it")
    if not user or user in us:
        return Nothing(why="nobody wrote it")
    if event.get("hidden") or subtype not in _ASKS:
        return Nothing(why=f"it is a {subtype or 'hidden'} event")
    if event.get("type") == "message" and event.get("channel_type") != "im":
        return Nothing(why="in a channel only a mention asks")
    channel, ts = event.get("channel"), event.get("ts")
    if not channel or not ts:
        return Nothing(why="it has no place")
    shared = _forwarded(event.get("attachments"))
    files, left_out = _files(
        [
            *_listed(event.get("files")),
            *(file for one in shared for file in _listed(one.get("files"))),
        ]
    )
    return Question(
        place=Place(
            team=str(body.get("team_id") or ""),
            channel=str(channel),
            thread_ts=str(event.get("thread_ts") or ts),
            ts=str(ts),
            user=user,
            user_team=str(event.get("user_team") or event.get("team") or body.get("team_id") or ""),
        ),
        text="\n\n".join(
            part
            for part in (
                plain(str(event.get("text") or ""), without=us),
                *(_quoted(one, without=us) for one in shared),
            )
            if part
        ),
        files=files,
        left_out=left_out,
        direct=event.get("type") == "message",
    )


def lane_of(body: Mapping[str, Any]) -> str:
    """What an event has to wait for its turn in: its thread in Slack."""
    found = read(body)
    if isinstance(found, Question):
        return f"{found.place.team}:{found.place.channel}:{found.place.thread_ts}"
    return ""


def bot_users(body: Mapping[str, Any]) -> frozenset[str]:
    """The users that the app itself is, as the event's envelope says."""
    told = body.get("authorizations")
    found = told if isinstance(told, list) else []
    return frozenset(
        str(one["user_id"])
        for one in found
        if isinstance(one, Mapping) and one.get("is_bot") and one.get("user_id")
    )


def plain(text: str, *, without: frozenset[str] = frozenset()) -> str:
    """Slack's markup as text: mentions of the app itself go, links keep their address."""

    def shown(found: re.Match[str]) -> str:
        told, _, label = found[1].partition("|")
        if told[:1] == "@":
            return "" if told[1:] in without else f"@{label or told[1:]}"
        if told[:1] == "#":
            return f"#{label or told[1:]}"
        if told[:1] == "!":
            return label or f"@{told[1:].split('^')[0]}"
        return f"{label} ({told})" if label and label != told else told

    return html.unescape(_ENTITY.sub(shown, text)).strip()


def shared_file(told: Mapping[str, Any]) -> SharedFile:
    """A file as Slack tells of it, in an event or asked for it."""
    return SharedFile(
        file_id=str(told.get("id") or ""),
        name=str(told.get("name") or told.get("title") or "file"),
        media_type=str(told.get("mimetype") or "application/octet-stream"),
        size=_size(told.get("size")),
        url=str(told.get("url_private_download") or told.get("url_private") or ""),
    )


def _pane(body: Mapping[str, Any], event: Mapping[str, Any]) -> PaneOpened | Nothing:
    thread = event.get("assistant_thread")
    if not isinstance(thread, Mapping) or not thread.get("channel_id"):
        return Nothing(why="it has no place")
    ts = str(thread.get("thread_ts") or "")
    return PaneOpened(
        place=Place(
            team=str(body.get("team_id") or ""),
            channel=str(thread["channel_id"]),
            thread_ts=ts,
            ts=ts,
            user=str(thread.get("user_id") or ""),
            user_team=str(body.get("team_id") or ""),
        )
    )


def _forwarded(told: Any) -> list[Mapping[str, Any]]:
    """Messages that somebody forwards; what Slack adds to links of its own accord is none."""
    return [one for one in _listed(told) if isinstance(one, Mapping) and one.get("is_share")]


def _quoted(message: Mapping[str, Any], *, without: frozenset[str]) -> str:
    """A forwarded message as a quotation; empty where it has no words."""
    words = plain(str(message.get("text") or ""), without=without)
    if not words:
        return ""
    author = plain(str(message.get("author_name") or message.get("author_subname") or ""))
    lines = "\n".join(f"> {line}" for line in words.splitlines())
    return f"Forwarded{f' from {author}' if author else ''}:\n{lines}"


def _listed(told: Any) -> list[Any]:
    return told if isinstance(told, list) else []


def _files(told: Any) -> tuple[list[SharedFile], int]:
    found = [
        shared_file(one)
        for one in (told if isinstance(told, list) else [])
        if isinstance(one, Mapping)
    ]
    return found[:MOST_FILES], max(0, len(found) - MOST_FILES)


def _size(told: Any) -> int:
    found = str(told)
    return int(found) if found.isdecimal() and len(found) < _DIGITS else 0
