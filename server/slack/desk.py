"""Approvals in Slack as one part: what listens, what shows, what keeps it true."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slack_bolt.async_app import AsyncApp

from server.approvals.record import Approval, ApprovalStatus
from server.runs.record import RunRecord
from server.slack import deciding, opening, watching
from server.slack.context import Place, SlackContext
from server.slack.homes import Homes
from server.slack.tending import Tender, tending
from server.slack.watching import Cards, Watcher


def desk() -> opening.Deciding:
    """What ``server.slack.opening.opened`` is given, so that people decide in Slack."""
    return opening.Deciding(register=_register, waits=_waits, watching=_watching)


def _register(app: AsyncApp, context: SlackContext) -> None:
    shown = Cards(context)

    async def look(one: Approval) -> None:
        await shown.owe(one.approval_id, tenant=one.tenant)

    deciding.register(app, deciding.Deciding(context, homes=Homes(context), look=look))


async def _waits(context: SlackContext, place: Place, record: RunRecord) -> None:
    """The queue's changes say so as well; where they were told first, nothing is left to do."""
    shown = Cards(context)
    for one in await context.approvals.store.of_run(record.run_id):
        if one.status is ApprovalStatus.PENDING:
            await shown.owe(one.approval_id, tenant=one.tenant)


@asynccontextmanager
async def _watching(context: SlackContext) -> AsyncIterator[None]:
    shown, homes = Cards(context), Homes(context)
    tender = Tender(shown.owed, shown, what="card")
    watcher = Watcher(context, shown, tender)
    async with (
        tending(tender, Tender(homes.owed, homes, what="home tab")),
        watching.watching(watcher, watching.tenants(context)),
    ):
        yield
