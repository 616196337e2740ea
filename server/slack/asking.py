"""An event that was taken becomes a run: who asks, in which thread, with which files.

Each step may be done again after a death in between: the run has the message's own name as its
idempotency key, its reply has the run's.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from server.artifacts.store import Origin
from server.auth import Caller
from server.runs.asked import Asked, of_messages
from server.runs.record import NotDurableError, RunNotFoundError, RunRecord, ThreadBusyError
from server.runs.transitions import RunStatus
from server.slack import answers, reading
from server.slack.context import METADATA, Place, SlackContext, place_of
from server.slack.downloads import Downloads, FileNotTakenError
from server.slack.owed import Item, Owed
from server.slack.reading import Nothing, PaneOpened, Question, SharedFile
from server.slack.tending import Again
from server.slack.web import Refused, SlackError, Unreachable
from server.threads.thread import ThreadExistsError
from tools.artifacts import ArtifactError
from tools.thread_documents import is_readable

MOST_ATTEMPTS = 12
"""Beside those that failed at Slack; with the pauses between them, about six minutes."""
MOST_FILE_ATTEMPTS = 8
"""How often a question waits for a file that Slack does not give now."""
# What an event says of its attempts, beside what Slack said.
_WAITED, _FILE_FAILED = "waited", "file_failed"
_AGAIN_SECONDS = 1.0
_TOLD_SECONDS = 7 * 24 * 3600
_THREADS = uuid.UUID("0f0a3c61-6f0e-5d1b-8a57-2f7f1d3f9c42")
_PROMPTS = (
    ("Ask the documents", "What do our documents say about …"),
    ("Look at a file", "Here is a file; what stands out in it?"),
)

_log = logging.getLogger(__name__)


class Asking:
    """Handles one event; ``replies`` is where the answers are owed, ``hurry`` says that one is."""

    def __init__(
        self,
        context: SlackContext,
        *,
        replies: Owed,
        downloads: Downloads,
        hurry: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._replies = replies
        self._downloads = downloads
        self._hurry = hurry

    async def __call__(self, item: Item) -> Again | None:
        """See ``server.slack.tending.Handle``."""
        found = reading.read(item.says)
        match found:
            case Nothing():
                _log.debug("event %s asks nothing: %s", item.item_id, found.why)
            case PaneOpened():
                await self._greeted(found.place)
            case Question():
                return await self._tried(item, found)
        return None

    async def _tried(self, item: Item, question: Question) -> Again | None:
        """What fails at Slack is tried for as long as answers are."""
        waited, age = int(item.says.get(_WAITED, 0)), time.time() - item.added_at / 1e6
        is_late = waited > 0 and age > self._context.settings.slack_patience_seconds
        if is_late or item.attempts - waited > MOST_ATTEMPTS:
            _log.error("event %s is given up after %d attempts", item.item_id, item.attempts - 1)
            with suppress(SlackError):
                words = "I could not take this question; please ask again."
                await self._privately(question.place, words)
            return None
        try:
            return await self._asked(item, question)
        except SlackError:
            item.says = {**item.says, _WAITED: waited + 1}
            raise

    async def _asked(self, item: Item, question: Question) -> Again | None:
        place = question.place
        caller = await self._context.identities.of(user=place.user, team=place.user_team)
        if caller is None:
            await self._told_how_to_get_in(place)
            return None
        if not question.text and not question.files:
            await self._privately(place, "What would you like to know? Write it behind my name.")
            return None
        thread_id = await self._thread(place, caller)
        if await self._is_waiting(place, caller, thread_id=thread_id):
            await self._privately(
                place,
                "This thread waits for a decision, and goes on by itself when it is taken. Ask "
                "again then, or in another thread.",
            )
            return None
        taken, left = await self._files(item, question, caller, thread_id=thread_id)
        try:
            record = await self._context.runs.create(
                self._wanted(question, caller, taken=taken, left=left),
                tenant=caller.tenant,
                thread_id=thread_id,
                idempotency_key=key_of(place),
            )
        except (NotDurableError, ThreadBusyError) as error:
            _log.warning("event %s is tried again: %s", item.item_id, error)
            return Again(seconds=_AGAIN_SECONDS)
        await self.owe(record, place)
        if question.direct:
            # Gone by itself as soon as something is said; nobody needs it.
            with suppress(SlackError):
                await self._context.web.call(
                    "assistant.threads.setStatus",
                    channel_id=place.channel,
                    thread_ts=place.thread_ts,
                    status="is working …",
                )
        return None

    async def owe(self, record: RunRecord, place: Place) -> None:
        """A run's answer is to be written at a place."""
        says = {"tenant": record.tenant, "place": place.stored()}
        if await self._replies.add(record.run_id, says):
            self._hurry()

    async def _thread(self, place: Place, caller: Caller) -> str:
        """The thread behind a thread in Slack; people of two tenants in one have one each."""
        name = f"{caller.tenant}:{place.team}:{place.channel}:{place.thread_ts}"
        made = str(uuid.uuid5(_THREADS, name))
        links = self._context.links
        await links.claim("thread", name, {"thread_id": made})
        found = await links.get("thread", name) or {}
        thread_id = str(found.get("thread_id", made))
        metadata = {"slack_channel": place.channel, "slack_thread": place.thread_ts}
        with suppress(ThreadExistsError):
            await self._context.threads.create(
                tenant=caller.tenant, thread_id=thread_id, metadata=metadata
            )
        # The way back, for whoever has the thread and looks for its place.
        await links.put("place", f"{caller.tenant}:{thread_id}", place.stored())
        return thread_id

    async def _is_waiting(self, place: Place, caller: Caller, *, thread_id: str) -> bool:
        """Whether a run of the thread waits for a person, other than this message's own."""
        thread = await self._context.threads.get(thread_id, tenant=caller.tenant)
        if not thread.paused:
            return False
        try:
            run = await self._context.runs.get(thread.paused, tenant=caller.tenant)
        except RunNotFoundError:
            return False
        return run.status is RunStatus.INTERRUPTED and place_of(run) != place

    async def _files(
        self, item: Item, question: Question, caller: Caller, *, thread_id: str
    ) -> tuple[list[str], list[str]]:
        """Names of the files that the run has, and why others stayed in Slack."""
        taken, left = [], []
        for shared in question.files:
            try:
                file = await self._known(shared)
                content = await self._downloads.get(file)
                kept = await self._context.files.put(
                    content,
                    name=file.name,
                    media_type=file.media_type,
                    tenant=caller.tenant,
                    thread_id=thread_id,
                    run_id=None,
                    origin=Origin.UPLOAD,
                )
            except (FileNotTakenError, ArtifactError) as error:
                left.append(str(error))
            except Unreachable:
                failed = int(item.says.get(_FILE_FAILED, 0)) + 1
                if failed < MOST_FILE_ATTEMPTS:
                    item.says = {**item.says, _FILE_FAILED: failed}
                    raise
                left.append(f"{shared.name}: Slack does not give it now")
            else:
                taken.append(kept.name)
        if question.left_out:
            left.append(f"{question.left_out} more files: {reading.MOST_FILES} at a time")
        return taken, left

    async def _known(self, file: SharedFile) -> SharedFile:
        """The file with its address. Raises FileNotTakenError, and a SlackError otherwise."""
        if file.url or not file.file_id:
            return file
        try:
            told = await self._context.web.get("files.info", file=file.file_id)
        except Refused as refused:
            raise FileNotTakenError(
                f"{file.name}: Slack does not give it ({refused.code})"
            ) from None
        found = reading.shared_file({"name": file.name, **(told.get("file") or {})})
        if not found.url:
            raise FileNotTakenError(f"{found.name}: Slack does not give it")
        return found

    def _wanted(
        self, question: Question, caller: Caller, *, taken: Sequence[str], left: Sequence[str]
    ) -> Asked:
        unasked = "Look at the files."
        if taken and all(is_readable(name) for name in taken):
            unasked = "Summarize what is attached."
        lines = [question.text or unasked]
        if taken:
            lines.append(f"Files given: {', '.join(taken)}")
        if left:
            lines.append(f"Files that could not be taken: {'; '.join(left)}")
        wanted = of_messages(
            [{"role": "user", "content": "\n\n".join(lines)}],
            collection=self._context.settings.collection,
        )
        return replace(
            wanted,
            user=caller.name,
            roles=sorted(caller.roles),
            metadata={METADATA: question.place.stored()},
        )

    async def _told_how_to_get_in(self, place: Place) -> None:
        """Once: who goes on asking need not hear it every time."""
        links, name = self._context.links, f"{place.user_team}:{place.user}"
        if not await links.claim("told", name, {}, seconds=_TOLD_SECONDS):
            return
        told = answers.how_to_get_in(
            user=place.user, team=place.user_team, help_words=self._context.settings.slack_help
        )
        try:
            await self._ephemeral(place, **told)
        except Refused as error:
            _log.warning("an unknown user of Slack cannot be told so: %s", error)
        except SlackError:
            await links.drop("told", name)
            raise

    async def _privately(self, place: Place, words: str) -> None:
        with suppress(Refused):
            await self._ephemeral(place, text=words)

    async def _ephemeral(self, place: Place, **told: Any) -> None:
        inside = place.thread_ts if place.thread_ts != place.ts else None
        await self._context.web.call(
            "chat.postEphemeral", channel=place.channel, user=place.user, thread_ts=inside, **told
        )

    async def _greeted(self, place: Place) -> None:
        with suppress(Refused):
            await self._context.web.call(
                "assistant.threads.setSuggestedPrompts",
                channel_id=place.channel,
                thread_ts=place.thread_ts,
                title="Ask about your documents and data",
                prompts=[{"title": title, "message": message} for title, message in _PROMPTS],
            )


def key_of(place: Place) -> str:
    """A message's own name: however often and in whatever events it comes, it is one question."""
    return f"slack:{place.team}:{place.channel}:{place.ts}"
