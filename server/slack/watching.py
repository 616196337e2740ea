"""Keeps the cards of approvals true: posted where a run was asked, changed with whatever happens
to the approval, whoever decided it and through which surface.

Each process that serves Slack follows the queue's changes and puts down what to look at; one at a
time looks (``server.slack.tending``). Where a card stands is kept apart from that, for as long as
an approval may wait.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson
from redis.exceptions import RedisError

from server import patience
from server.approvals.record import Approval, ApprovalNotFoundError, ApprovalStatus
from server.approvals.store import Filter
from server.runs.record import RunNotFoundError
from server.slack import cards
from server.slack.context import Place, SlackContext, place_of
from server.slack.message import GONE
from server.slack.owed import Item, Owed
from server.slack.tending import Again, Tender
from server.slack.web import RateLimited, Refused

NAME = "cards"
METADATA_TYPE = "counterpoint_approval"
KEPT_SECONDS = 400 * 24 * 3600
"""How long it is known where a card stands: longer than anything waits for a person."""
LOOK_SECONDS = 15.0
"""How long a change that nobody told of may stay unseen."""
REFUSED_SECONDS = 60.0
"""How long after a channel took no card it is asked again."""
PLACELESS_SECONDS = 600.0
_CARD = "card"
_SEEN = "approvals-seen"
_PAGE = 500
_AGAIN_SECONDS = 2.0
# How far the clocks of Slack and Redis may be apart.
_SKEW_SECONDS = 60.0
# What is wrong with the app, which somebody may put right, and not with the card.
_OURS = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired"}
)
_PENDING = Filter(statuses=frozenset({ApprovalStatus.PENDING}))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Card:
    """Where a card stands. ``shown`` is the hash of what it shows, ``opening`` when it was about
    to be posted, where nobody knows whether it was."""

    channel: str
    thread_ts: str = ""
    ts: str = ""
    shown: str = ""
    opening: str = ""


class Cards:
    """Shows one approval as it stands; ``server.slack.tending.Handle``."""

    def __init__(self, context: SlackContext) -> None:
        self._context = context
        self.owed = Owed(context.redis, context.keys, name=NAME)

    async def __call__(self, item: Item) -> Again | None:
        """Raises SlackErrors, and LostError where another process has the card."""
        approvals, tenant = self._context.approvals, str(item.says.get("tenant", ""))
        while True:
            try:
                one = await approvals.get(item.item_id, tenant=tenant)
            except ApprovalNotFoundError:
                await self._context.links.drop(_CARD, item.item_id)
                return None
            is_pending = one.status is ApprovalStatus.PENDING
            try:
                is_there = await self._shown(item, one)
            except Refused as refused:
                if refused.code in _OURS:
                    raise
                _log.warning("the card of approval %s is not shown: %s", item.item_id, refused)
                # Somebody may invite the app, or make room; nobody brings a deleted card back.
                may_come = is_pending and refused.code not in GONE
                return Again(seconds=REFUSED_SECONDS) if may_come else None
            if not is_pending:
                return None
            if not is_there:
                # A channel for approvals may be set by the next start.
                return Again(seconds=PLACELESS_SECONDS)
            # Whatever came meanwhile would else wait for the next look.
            now = await approvals.get(item.item_id, tenant=tenant)
            if (now.status, now.revision) == (one.status, one.revision):
                return Again(seconds=LOOK_SECONDS)

    async def owe(self, approval_id: str, *, tenant: str) -> None:
        """Let it be looked at, now."""
        if not await self.owed.add(approval_id, {"tenant": tenant}):
            await self.owed.hurry(approval_id)

    async def _shown(self, item: Item, one: Approval) -> bool:
        """Show it; whether there is a card."""
        stored = await self._context.links.get(_CARD, one.approval_id)
        message = cards.card(one)
        sha = hashlib.sha256(orjson.dumps(message)).hexdigest()
        if stored is not None:
            card = Card(**stored)
        else:
            place = await self._place(one) if one.status is ApprovalStatus.PENDING else None
            if place is None:
                return False
            card = Card(channel=place[0], thread_ts=place[1])
        if card.opening and not card.ts:
            card = replace(card, ts=await self._found(one, card), opening="")
        if not card.ts:
            if one.status is not ApprovalStatus.PENDING:
                return False
            card = await self._posted(item, one, card, message)
        elif card.shown != sha:
            await self.owed.renew(item)
            given = {"channel": card.channel, "ts": card.ts, **message}
            await self._context.web.call("chat.update", **given)
        else:
            return True
        await self._save(one, replace(card, shown=sha))
        return True

    async def _posted(
        self, item: Item, one: Approval, card: Card, message: Mapping[str, Any]
    ) -> Card:
        await self.owed.renew(item)
        await self._save(one, replace(card, opening=f"{time.time():.6f}"))
        try:
            reply = await self._context.web.call(
                "chat.postMessage",
                channel=card.channel,
                thread_ts=card.thread_ts or None,
                metadata={
                    "event_type": METADATA_TYPE,
                    "event_payload": {"approval_id": one.approval_id},
                },
                unfurl_links=False,
                unfurl_media=False,
                **message,
            )
        except (RateLimited, Refused):
            # Surely not posted.
            await self._context.links.drop(_CARD, one.approval_id)
            raise
        return replace(card, ts=str(reply["ts"]), opening="")

    async def _found(self, one: Approval, card: Card) -> str:
        """A card whose posting was not heard of any more; empty where it is not there, or where
        Slack does not let us look."""
        since = {"oldest": f"{float(card.opening) - _SKEW_SECONDS:.6f}", "limit": "200"}
        method, place = "conversations.history", {"channel": card.channel}
        if card.thread_ts:
            method, place = "conversations.replies", {**place, "ts": card.thread_ts}
        try:
            reply = await self._context.web.get(
                method, **place, **since, include_all_metadata="true"
            )
        except Refused as refused:
            _log.warning("cannot look for the card of %s: %s", one.approval_id, refused)
            return ""
        for message in reply.get("messages") or ():
            told = message.get("metadata") or {}
            payload = told.get("event_payload") or {}
            if told.get("event_type") == METADATA_TYPE and (
                payload.get("approval_id") == one.approval_id
            ):
                return str(message.get("ts") or "")
        return ""

    async def _place(self, one: Approval) -> tuple[str, str] | None:
        """Channel and thread: where the run was asked, or where its thread is; else the channel
        for approvals, which shows those of one tenant."""
        context, settings = self._context, self._context.settings
        with suppress(RunNotFoundError):
            place = place_of(await context.runs.get(one.run_id, tenant=one.tenant))
            if place is not None:
                return place.channel, place.thread_ts
        stored = await context.links.get("place", f"{one.tenant}:{one.thread_id}")
        if stored is not None:
            place = Place.of(stored)
            return place.channel, place.thread_ts
        channel = settings.slack_approvals_channel
        if channel is not None and one.tenant == settings.slack_default_tenant:
            return channel, ""
        return None

    async def _save(self, one: Approval, card: Card) -> None:
        await self._context.links.put(_CARD, one.approval_id, asdict(card), seconds=KEPT_SECONDS)


class Watcher:
    """Follows the queues of all tenants that people of Slack have."""

    def __init__(self, context: SlackContext, shown: Cards, tender: Tender) -> None:
        self._context = context
        self._cards = shown
        self._tender = tender

    async def watch(self, tenant: str) -> None:
        """Put down what is pending, then whatever changes, for ever."""
        while True:
            try:
                await self._watch(tenant)
            except (RedisError, OSError) as error:
                _log.warning("cards in Slack are not kept up for the moment: %s", error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("following approvals for Slack failed; trying again")
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _watch(self, tenant: str) -> None:
        approvals = self._context.approvals
        links = self._context.links
        # What happened while nobody followed, as far as the queue still has it.
        after = str((await links.get(_SEEN, tenant) or {}).get("after", ""))
        if not await approvals.changes.knows(tenant, after):
            after = await approvals.changes.last(tenant)
        offset = 0
        while True:
            found, _ = await approvals.list(tenant, _PENDING, limit=_PAGE, offset=offset)
            for one in found:
                await self._cards.owe(one.approval_id, tenant=tenant)
            self._tender.hurry()
            offset += len(found)
            if len(found) < _PAGE:
                break
        async for batch in approvals.changes.follow(tenant, after=after):
            for approval_id in dict.fromkeys(change.approval_id for change in batch):
                await self._cards.owe(approval_id, tenant=tenant)
            self._tender.hurry()
            await links.put(_SEEN, tenant, {"after": batch[-1].id})


def tenants(context: SlackContext) -> Sequence[str]:
    """The tenants that people of Slack may be of."""
    settings = context.settings
    found = {one.tenant for one in settings.slack_people}
    if settings.slack_default_role is not None or settings.slack_approvals_channel is not None:
        found.add(settings.slack_default_tenant)
    return sorted(found)


@asynccontextmanager
async def watching(watcher: Watcher, of: Sequence[str]) -> AsyncIterator[None]:
    """Follow in the background, until the context is left."""
    tasks = [asyncio.create_task(watcher.watch(one), name="slack cards") for one in of]
    try:
        yield
    finally:
        await patience.over(*tasks)
