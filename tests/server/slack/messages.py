"""The messages of the double of Slack: written, edited, streamed, deleted."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.server.slack import limits

BOT_USER = "U0BOT"
BOT = "B0BOT"


@dataclass(kw_only=True)
class Message:
    """A message as people see it. ``chunks`` and ``text`` are what a stream has brought."""

    channel: str
    ts: str
    thread_ts: str | None = None
    user: str = BOT_USER
    text: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    chunks: list[dict[str, Any]] = field(default_factory=list)
    streaming: bool = False
    ephemeral_to: str | None = None
    edits: list[float] = field(default_factory=list)

    @property
    def shown(self) -> str:
        """All its words."""
        return "\n".join(one for one in (self.text, *limits.words(self.blocks)) if one)


class Messages:
    """What people would see, and the methods that change it."""

    def __init__(self) -> None:
        self.messages: dict[tuple[str, str], Message] = {}
        self.ephemerals: list[Message] = []
        self.too_fast: list[str] = []
        self.edit_seconds = 0.0
        self._count = itertools.count(1)

    def said(self, channel: str, thread_ts: str | None = None) -> list[Message]:
        """The bot's messages in a channel or thread, in order."""
        return [
            one
            for one in self.messages.values()
            if one.channel == channel and thread_ts in {None, one.thread_ts}
        ]

    @property
    def hanging(self) -> list[Message]:
        """Streams that are still open."""
        return [one for one in self.messages.values() if one.streaming]

    def _ts(self) -> str:
        # As Slack's: the time, so that one can look for what was said since.
        return f"{int(time.time())}.{next(self._count):06d}"

    def _chat_postMessage(self, body: dict[str, Any]) -> Any:
        made = self._message(body)
        self.messages[made.channel, made.ts] = made
        return {"channel": made.channel, "ts": made.ts}

    def _chat_postEphemeral(self, body: dict[str, Any]) -> Any:
        made = self._message(body)
        made.ephemeral_to = body["user"]
        self.ephemerals.append(made)
        return {"message_ts": made.ts}

    def _message(self, body: dict[str, Any]) -> Message:
        return Message(
            channel=body["channel"],
            ts=self._ts(),
            thread_ts=body.get("thread_ts"),
            text=body.get("markdown_text") or body.get("text") or "",
            blocks=limits.listed(body.get("blocks")),
            metadata=body.get("metadata") or {},
        )

    def _chat_update(self, body: dict[str, Any]) -> Any:
        found = self.messages.get((body["channel"], body["ts"]))
        if found is None:
            return no("message_not_found")
        if found.streaming:
            return no("streaming_state_conflict")
        self._edited(found)
        found.text = body.get("markdown_text") or body.get("text") or ""
        found.blocks = limits.listed(body.get("blocks"))
        found.chunks = []
        return {"channel": found.channel, "ts": found.ts, "text": found.text}

    def _chat_delete(self, body: dict[str, Any]) -> Any:
        gone = self.messages.pop((body["channel"], body["ts"]), None)
        return {} if gone else no("message_not_found")

    def _chat_startStream(self, body: dict[str, Any]) -> Any:
        if not body.get("thread_ts"):
            return no("invalid_thread_ts")
        if not body["channel"].startswith("D") and not body.get("recipient_user_id"):
            return no("missing_recipient_user_id")
        made = Message(
            channel=body["channel"], ts=self._ts(), thread_ts=body["thread_ts"], streaming=True
        )
        self.messages[made.channel, made.ts] = made
        self._add(made, body)
        return {"channel": made.channel, "ts": made.ts}

    def _chat_appendStream(self, body: dict[str, Any]) -> Any:
        return self._streamed(body, stops=False)

    def _chat_stopStream(self, body: dict[str, Any]) -> Any:
        return self._streamed(body, stops=True)

    def _streamed(self, body: dict[str, Any], *, stops: bool) -> Any:
        found = self.messages.get((body["channel"], body["ts"]))
        if found is None:
            return no("message_not_found")
        if not found.streaming:
            return no("message_not_in_streaming_state")
        if len(found.text) + limits.streamed(body) > limits.MESSAGE:
            return no("msg_too_long")
        self._edited(found)
        self._add(found, body)
        if stops:
            found.streaming = False
            found.blocks = limits.listed(body.get("blocks"))
        return {"channel": found.channel, "ts": found.ts}

    def _add(self, message: Message, body: dict[str, Any]) -> None:
        message.text += body.get("markdown_text") or ""
        for chunk in limits.listed(body.get("chunks")):
            message.chunks.append(chunk)
            if chunk.get("type") == "markdown_text":
                message.text += chunk["text"]

    def _edited(self, message: Message) -> None:
        now = time.monotonic()
        if message.edits and now - message.edits[-1] < self.edit_seconds:
            self.too_fast.append(message.ts)
        message.edits.append(now)

    def _conversations_history(self, body: dict[str, Any]) -> Any:
        return self._looked_up(
            [one for one in self.said(body["channel"]) if not one.thread_ts], body
        )

    def _conversations_replies(self, body: dict[str, Any]) -> Any:
        return self._looked_up(self.said(body["channel"], body["ts"]), body)

    def _looked_up(self, found: list[Message], body: dict[str, Any]) -> Any:
        return {
            "messages": [
                {
                    "type": "message",
                    "ts": one.ts,
                    "thread_ts": one.thread_ts,
                    "user": one.user,
                    "bot_id": BOT,
                    "text": one.text,
                    "metadata": one.metadata,
                }
                for one in found
                if one.ts > str(body.get("oldest", "0"))
            ]
        }


def no(code: str) -> web.Response:
    """A refusal."""
    return web.json_response({"ok": False, "error": code})
