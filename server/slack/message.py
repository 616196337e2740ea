"""One message of a reply, being written: opened, added to, edited, closed, and found again.

Whatever is done is noted before and after, so that who goes on after a death knows what may be
there. A stream is only ever added to where nothing is in doubt; else it is closed, and its message
is set to the whole text, which may be done twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from server.slack.context import SlackContext
from server.slack.owed import Item, Owed
from server.slack.said import EDIT, STREAM, Said
from server.slack.web import RateLimited, Refused, SlackError

PACE_SECONDS = 1.0
"""Between two edits of one message."""
NOT_STREAMING = frozenset({"message_not_in_streaming_state", "message_not_found"})
STILL_STREAMING = "streaming_state_conflict"
GONE = frozenset({"message_not_found", "edit_window_closed", "cant_update_message"})
METADATA_TYPE = "counterpoint_reply"
_NO_STREAMS = frozenset(
    {"unknown_method", "method_not_supported_for_channel_type", "not_allowed_token_type"}
)
_TRY_STREAMS_SECONDS = 600.0
# How far the clocks of Slack and Redis may be apart.
_SKEW_SECONDS = 60.0

_log = logging.getLogger(__name__)


class Streams:
    """Whether this workspace takes streams, as far as this process has heard."""

    def __init__(self) -> None:
        self._not_before = 0.0

    def may(self) -> bool:
        return time.monotonic() >= self._not_before

    def refused(self, code: str) -> None:
        """A stream was not taken; where it is for good, the next ones are not tried for a while."""
        if code in _NO_STREAMS:
            self._not_before = time.monotonic() + _TRY_STREAMS_SECONDS


class Writing:
    """A reply's item with what it has said; every method leaves both stored alike.

    Raises SlackErrors, and LostError where another process has taken the reply over.
    """

    def __init__(
        self,
        context: SlackContext,
        *,
        owed: Owed,
        item: Item,
        streams: Streams,
        pace_seconds: float = PACE_SECONDS,
    ) -> None:
        self.said = Said.of(item.says)
        self._context = context
        self._owed = owed
        self._item = item
        self._streams = streams
        self._pace = pace_seconds
        # Somebody may have edited it a moment ago.
        self._edited = time.monotonic() if self.said.ts else 0.0

    @property
    def run_id(self) -> str:
        return self._item.item_id

    async def save(self) -> None:
        """Store what was said."""
        await self._owed.write(self._item, self.said.stored())

    def note(self) -> None:
        """What was said is stored as the item is given back."""
        self._item.says = self.said.stored()

    async def open(
        self,
        *,
        chunks: Sequence[Mapping[str, Any]] | None,
        message: Mapping[str, Any],
    ) -> None:
        """Begin a message: a stream with these chunks, or where none is taken, a whole one."""
        said, place = self.said, self.said.place
        said.opening = f"{time.time():.6f}"
        await self.save()
        try:
            reply, mode = None, STREAM
            if chunks is not None and self._streams.may():
                reply = await self._start(chunks)
            if reply is None:
                mode = EDIT
                reply = await self._context.web.call(
                    "chat.postMessage",
                    channel=place.channel,
                    thread_ts=place.thread_ts,
                    metadata={
                        "event_type": METADATA_TYPE,
                        "event_payload": {"run_id": self.run_id},
                    },
                    unfurl_links=False,
                    unfurl_media=False,
                    **message,
                )
        except (RateLimited, Refused):
            said.opening = ""
            self.note()
            raise
        said.ts, said.mode, said.opening = str(reply["ts"]), mode, ""
        self._edited = time.monotonic()
        await self._ours()

    async def _start(self, chunks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        place = self.said.place
        try:
            return await self._context.web.call(
                "chat.startStream",
                channel=place.channel,
                thread_ts=place.thread_ts,
                recipient_team_id=place.user_team or place.team,
                recipient_user_id=place.user,
                task_display_mode="timeline",
                chunks=list(chunks),
            )
        except Refused as refused:
            _log.info("Slack takes no stream (%s); the message is edited instead", refused)
            self._streams.refused(refused.code)
            return None

    async def _ours(self) -> None:
        """The message is known to be this reply's, here and to whoever looks for another's."""
        said = self.said
        await self.save()
        await self._context.links.put(
            "message", f"{said.place.channel}:{said.ts}", {"run_id": self.run_id}
        )

    async def find(self) -> None:
        """A message that was begun by somebody who died, or whose answer was lost, if it is there.

        Where Slack does not let us look, it is taken as not being there.
        """
        said, place = self.said, self.said.place
        since = float(said.opening) - _SKEW_SECONDS
        found = []
        try:
            me = await self._context.web.me()
            reply = await self._context.web.get(
                "conversations.replies",
                channel=place.channel,
                ts=place.thread_ts,
                oldest=f"{since:.6f}",
                include_all_metadata="true",
                limit="200",
            )
            found = [
                one
                for one in reply.get("messages") or ()
                if one.get("user") == me.user or (me.bot and one.get("bot_id") == me.bot)
            ]
        except Refused as refused:
            _log.warning("cannot look for a message of run %s: %s", self.run_id, refused)
        said.opening = ""
        for one in found:
            ts = str(one.get("ts") or "")
            told = one.get("metadata") or {}
            known = await self._context.links.get("message", f"{place.channel}:{ts}")
            if known is None and ts != place.ts and await self._is_lost(ts, told):
                said.ts, said.mode = ts, EDIT
                await self._ours()
                return
        await self.save()

    async def _is_lost(self, ts: str, metadata: Mapping[str, Any]) -> bool:
        """Whether a message that nobody knows of is this reply's: it says so, or is a stream, which
        is closed by asking."""
        if metadata:
            payload = metadata.get("event_payload") or {}
            return metadata.get("event_type") == METADATA_TYPE and (
                payload.get("run_id") == self.run_id
            )
        try:
            await self._context.web.call("chat.stopStream", channel=self.said.place.channel, ts=ts)
        except Refused:
            return False
        return True

    async def append(self, chunks: Sequence[Mapping[str, Any]]) -> None:
        """Add to a stream."""
        said = self.said
        async with self._paced():
            await self._context.web.call(
                "chat.appendStream", channel=said.place.channel, ts=said.ts, chunks=list(chunks)
            )

    async def stop(
        self,
        *,
        chunks: Sequence[Mapping[str, Any]] = (),
        blocks: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """End a stream, under which ``blocks`` are shown. One that has ended already is no
        failure."""
        said = self.said
        said.stopping = True
        await self.save()
        given: dict[str, Any] = {"channel": said.place.channel, "ts": said.ts}
        full = {"chunks": list(chunks) or None, "blocks": list(blocks) or None}
        async with self._paced():
            try:
                await self._context.web.call("chat.stopStream", **given, **full)
            except Refused as refused:
                if refused.code in NOT_STREAMING:
                    return
                # Better closed than with everything under it.
                _log.warning("a stream is closed bare: %s", refused)
                with suppress(Refused):
                    await self._context.web.call("chat.stopStream", **given)

    async def give_up_stream(self) -> None:
        """End a stream whose text is not certain; from now on its message is set as a whole."""
        await self.stop()
        said = self.said
        said.mode, said.doubt, said.stopping, said.sent = EDIT, False, False, 0
        await self.save()

    async def edit(self, message: Mapping[str, Any]) -> bool:
        """Set the message as a whole; replies whether it is there."""
        said = self.said
        given = {"channel": said.place.channel, "ts": said.ts, **message}
        try:
            async with self._paced():
                await self._context.web.call("chat.update", **given)
        except Refused as refused:
            if refused.code == STILL_STREAMING:
                await self.give_up_stream()
                return await self.edit(message)
            if refused.code in GONE:
                return False
            raise
        return True

    async def privately(self, **message: Any) -> None:
        """Something for who asked alone, in passing."""
        place = self.said.place
        with suppress(SlackError):
            await self._context.web.call(
                "chat.postEphemeral",
                channel=place.channel,
                user=place.user,
                thread_ts=place.thread_ts,
                **message,
            )

    @asynccontextmanager
    async def _paced(self) -> AsyncIterator[None]:
        """The pace is kept between the answer to one call and the next one."""
        left = self._edited + self._pace - time.monotonic()
        if left > 0:
            await asyncio.sleep(left)
        try:
            yield
        finally:
            self._edited = time.monotonic()
