"""A run told in Slack: its steps while it works, its answer when it is there, where it waits.

Told from the event log, so that another process goes on where this one ends.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Any, cast

from graphs import events
from server import patience
from server.approvals.record import ApprovalStatus, Kind
from server.runs.record import RunNotFoundError, RunRecord
from server.runs.transitions import RunStatus
from server.slack import answers, blocks, text
from server.slack.context import Place, SlackContext
from server.slack.cutting import MESSAGE, PIECE, cut, raw
from server.slack.message import PACE_SECONDS, Streams, Writing
from server.slack.owed import Item, LostError, Owed
from server.slack.said import Said
from server.slack.steps import Steps, task_chunks, text_chunk
from server.slack.tending import Again
from server.slack.uploading import Uploading
from server.slack.web import RateLimited, Refused, SlackError

EDIT_PIECE = 9_000
"""Characters of the answer in one edited message, which leaves room for what stands under it."""
_NOWHERE = frozenset(
    {
        "channel_not_found",
        "is_archived",
        "not_in_channel",
        "thread_not_found",
        "invalid_thread_ts",
        "cannot_reply_to_message",
        "user_not_found",
    }
)
_SOON, _LATE = 2.0, 15.0

_log = logging.getLogger(__name__)

Waits = Callable[[Place, RunRecord], Awaitable[None]]
"""Shows what a paused run waits for; it may be told twice of one pause."""


class Telling:
    """Handles one reply; see ``server.slack.tending.Handle``."""

    def __init__(
        self,
        context: SlackContext,
        *,
        owed: Owed,
        waits: Waits | None = None,
        pace_seconds: float = PACE_SECONDS,
    ) -> None:
        self._context = context
        self._owed = owed
        self._waits = waits
        self._pace = pace_seconds
        self._streams = Streams()
        self._uploading = Uploading(context)

    async def __call__(self, item: Item) -> Again | None:
        """Tell a run up to its end or pause. Raises what is to be tried again."""
        writing = Writing(
            self._context,
            owed=self._owed,
            item=item,
            streams=self._streams,
            pace_seconds=self._pace,
        )
        said = writing.said
        try:
            found = await self._told(writing)
        except (RateLimited, LostError):
            raise
        except SlackError as error:
            now = time.time()
            said.failing_since = said.failing_since or now
            writing.note()
            late = now - said.failing_since > self._context.settings.slack_patience_seconds
            if late or (isinstance(error, Refused) and error.code in _NOWHERE):
                _log.error("the answer of run %s is given up in Slack: %s", item.item_id, error)
                return None
            raise
        said.failing_since = 0.0
        writing.note()
        return found

    async def _told(self, writing: Writing) -> Again | None:
        said = writing.said
        try:
            record = await self._context.runs.get(writing.run_id, tenant=said.tenant)
        except RunNotFoundError:
            await self._withdrawn(writing)
            return None
        if said.waits >= 0:
            if record.status is RunStatus.INTERRUPTED and record.resumes == said.waits:
                return Again(seconds=_look(said))
            said.waits = -1
            await writing.save()
        if said.opening:
            await writing.find()
        if not said.said:
            steps = Steps()
            try:
                record = await self._followed(writing, steps, record)
            except RunNotFoundError:
                await self._withdrawn(writing)
                return None
            if record.status is RunStatus.INTERRUPTED:
                return await self._paused(writing, steps, record)
            if not record.status.is_terminal or record.result is None:
                return Again(seconds=_SOON)
            await self._answered(writing, steps, record)
        await self._uploading(writing, record)
        return None

    async def _followed(self, writing: Writing, steps: Steps, record: RunRecord) -> RunRecord:
        """Show the steps as they come; gives the record once the run is over or paused."""
        reading = asyncio.create_task(self._read(writing.run_id, steps), name="slack reader")
        try:
            while not steps.ended:
                await steps.news.wait()
                steps.news.clear()
                if not steps.ended:
                    await self._progress(writing, steps)
        finally:
            await patience.over(reading)
        # What went wrong with it is what went wrong here.
        with suppress(asyncio.CancelledError):
            reading.result()
        return await self._context.runs.get(record.run_id, tenant=record.tenant)

    async def _read(self, run_id: str, steps: Steps) -> None:
        try:
            async with aclosing(cast("Any", self._context.runs.events(run_id))) as entries:
                async for entry in entries:
                    steps.take(entry)
        finally:
            steps.end()

    async def _progress(self, writing: Writing, steps: Steps) -> None:
        said = writing.said
        lines = steps.lines[said.base :]
        if not said.ts:
            chunks = task_chunks(lines, told=0)
            await writing.open(
                chunks=chunks or [_waiting_chunk()],
                message=answers.working(writing.run_id, lines),
            )
        elif len(lines) > said.told:
            await self._go_on(writing, lines)
        said.told = len(lines)
        await writing.save()
        if said.streams and not said.offered:
            await self._offer(writing)

    async def _go_on(self, writing: Writing, lines: Sequence[str]) -> None:
        said = writing.said
        if said.streams and not (said.doubt or said.stopping):
            try:
                await writing.append(task_chunks(lines, told=said.told))
            except Refused:
                await writing.give_up_stream()
        elif said.streams:
            await writing.give_up_stream()
        if not said.streams and not await writing.edit(answers.working(writing.run_id, lines)):
            said.closed()

    async def _offer(self, writing: Writing) -> None:
        """A stream has no buttons before its end: who asked gets one beside it."""
        stop = blocks.actions([answers.stop_button(writing.run_id)])
        await writing.privately(text="Working …", blocks=[stop])
        writing.said.offered = True
        await writing.save()

    async def _answered(self, writing: Writing, steps: Steps, record: RunRecord) -> None:
        whole, below = _answer(record)
        lines = steps.lines[writing.said.base :]
        # Nothing was left unsaid where the last piece is noted and the rest was not.
        while not writing.said.said:
            if writing.said.streams:
                await self._streamed(writing, whole, below, lines=lines)
            elif not await self._edited(writing, whole, below):
                writing.said.closed()

    async def _streamed(
        self,
        writing: Writing,
        whole: str,
        below: Sequence[Mapping[str, Any]],
        *,
        lines: Sequence[str],
    ) -> None:
        """Add to the stream what it does not have, and close it when it has all or is full."""
        said = writing.said
        if said.doubt:
            await writing.give_up_stream()
            return
        last = task_chunks(lines, told=said.told, done=True) if not said.start else []
        while not said.stopping and said.sent < MESSAGE and said.start + said.sent < len(whole):
            most = min(PIECE, MESSAGE - said.sent)
            piece = raw(whole, said.start + said.sent, most=most)
            said.doubt = True
            await writing.save()
            try:
                await writing.append([*last, text_chunk(piece.text)])
            except RateLimited:
                said.doubt = False
                raise
            except Refused as refused:
                _log.info("a stream takes no more (%s); its message is edited instead", refused)
                await writing.give_up_stream()
                return
            finally:
                writing.note()
            said.sent, said.doubt, last = piece.end - said.start, False, []
            await writing.save()
        over = said.start + said.sent >= len(whole)
        await writing.stop(blocks=below if over else ())
        said.start += said.sent
        said.said = over
        said.closed()
        await writing.save()
        if not over:
            piece = raw(whole, said.start)
            rest = _edit_message(cut(whole, said.start, most=EDIT_PIECE).text, ())
            await writing.open(chunks=[text_chunk(piece.text)], message=rest)
            said.sent = piece.end - said.start if said.streams else 0
            await writing.save()

    async def _edited(
        self, writing: Writing, whole: str, below: Sequence[Mapping[str, Any]]
    ) -> bool:
        """Set the message to its part of the answer; replies whether it is there."""
        said = writing.said
        piece = cut(whole, said.start, most=EDIT_PIECE)
        over = piece.end >= len(whole)
        message = _edit_message(piece.text, below if over else ())
        try:
            done = await self._set(writing, message)
        except Refused as refused:
            if "blocks" not in refused.code and "too_long" not in refused.code:
                raise
            _log.warning("an answer is shown without its blocks: %s", refused)
            done = await self._set(writing, {"text": text.escaped(piece.text, 20_000)})
        if done:
            said.start, said.said = piece.end, over
            said.closed()
            await writing.save()
        return done

    async def _set(self, writing: Writing, message: Mapping[str, Any]) -> bool:
        if writing.said.ts:
            return await writing.edit(message)
        await writing.open(chunks=None, message=message)
        return True

    async def _paused(self, writing: Writing, steps: Steps, record: RunRecord) -> Again:
        said = writing.said
        message = await self._pause_message(record)
        if said.streams:
            lines = steps.lines[said.base :]
            if said.stopping or said.doubt:
                await writing.give_up_stream()
            else:
                chunks = task_chunks(lines, told=said.told, done=True)
                await writing.stop(chunks=chunks, blocks=message["blocks"])
        if not said.streams and not await self._set(writing, message):
            said.closed()
        if self._waits is not None:
            await self._waits(said.place, record)
        said.closed()
        said.base = len(steps.lines)
        said.waits, said.waits_since = record.resumes, time.time()
        await writing.save()
        return Again(seconds=_SOON)

    async def _pause_message(self, record: RunRecord) -> Mapping[str, Any]:
        asked = await self._context.approvals.store.of_run(record.run_id)
        waiting = [one for one in asked if one.status is ApprovalStatus.PENDING]
        limit = next((one for one in waiting if one.kind is Kind.LIMIT), None)
        if limit is not None:
            answer = str(limit.context.get("answer") or "")
            piece = cut(text.disarmed(answer), 0, most=EDIT_PIECE).text
            note = "An operator may raise the limit; the answer is then gone on with."
            return _edit_message(piece or "A limit is reached.", [blocks.context(note)])
        tools = ", ".join(dict.fromkeys(text.code(one.tool, 100) for one in waiting))
        what = f" for approval of {tools}" if tools else " for an answer"
        return blocks.message(
            [blocks.context(f":double_vertical_bar: Waits{what}.")], words=f"Waits{what}."
        )

    async def _withdrawn(self, writing: Writing) -> None:
        """The run is gone: nobody is left waiting in front of an open message."""
        said = writing.said
        if said.opening:
            await writing.find()
        if said.streams:
            await writing.give_up_stream()
        if said.ts:
            await writing.edit(
                blocks.message([blocks.context("This question was deleted.")], words="Deleted.")
            )


def _answer(record: RunRecord) -> tuple[str, Sequence[Mapping[str, Any]]]:
    """What a run has come to, in Markdown, and what stands under it."""
    end = events.EVENT.validate_python(record.result)
    if isinstance(end, events.RunFinished):
        sources = [one.model_dump(mode="json") for one in end.sources]
        stopped = "" if end.stop_reason in {"answered", "asked_back"} else end.stop_reason
        below = answers.under_answer(record.run_id, sources, stopped=stopped)
        return text.disarmed(end.answer) or "There is no answer.", below
    assert isinstance(end, events.RunFailed)
    if end.error == "cancelled":
        return "Stopped.", ()
    return text.disarmed(f"I could not answer this: {end.message}"), ()


def _edit_message(piece: str, below: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Markdown as a message; ``text`` is what a notification shows."""
    words = text.escaped(" ".join(piece.split()), 150)
    return {"text": words, "blocks": [{"type": "markdown", "text": piece}, *below]}


def _waiting_chunk() -> Mapping[str, Any]:
    return {
        "type": "task_update",
        "id": "step-1",
        "title": "Working …",
        "status": "in_progress",
    }


def _look(said: Said) -> float:
    """Seconds until a paused run is looked at again: soon at first, then less often."""
    return min(_LATE, max(_SOON, (time.time() - said.waits_since) / 20))
