"""The home tab of each person who has it open: for the signed user, and kept up for a while."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from typing import Any, cast

import orjson

from guardrails.policy import Choice
from server.approvals import allowed
from server.approvals.record import ApprovalStatus
from server.approvals.shown import Viewer
from server.approvals.store import Filter
from server.auth import Caller
from server.clock import moment
from server.runs.budgets import TenantBudgets
from server.runs.record import RunRecord
from server.runs.records import RunRecords
from server.slack import answers, home
from server.slack.context import SlackContext
from server.slack.home import Home, Running, Spending, Waiting
from server.slack.owed import Item, Owed
from server.slack.tending import Again

NAME = "homes"
OPEN_SECONDS = 3600.0
"""How long after it was opened a tab is kept up."""
LOOK_SECONDS = 15.0
_LOOKED_AT = 500
_MOST_ACTIVE = 2_000
_SHOWN = 50


class Homes:
    """Makes and publishes home tabs; keeps those that were opened up as an item's handler."""

    def __init__(self, context: SlackContext) -> None:
        self._context = context
        self.owed = Owed(context.redis, context.keys, name=NAME)
        self._records = RunRecords(context.redis, context.keys)
        self._budgets = TenantBudgets(
            context.redis, context.keys, budget_of=context.settings.budget_of
        )

    async def opened(self, user: str, team: str) -> None:
        """Somebody looks at the tab. Raises SlackErrors."""
        await self.publish(user, team)
        at = int(time.time() // OPEN_SECONDS)
        await self.owed.add(f"{team}:{user}:{at}", {"user": user, "team": team})

    async def publish(self, user: str, team: str) -> None:
        """The tab as it is now. Raises SlackErrors."""
        view = await self.view(user, team)
        await self._context.web.call("views.publish", user_id=user, view=view)

    async def __call__(self, item: Item) -> Again | None:
        """See ``server.slack.tending.Handle``."""
        says = item.says
        user, team = str(says["user"]), str(says["team"])
        if time.time() - item.added_at / 1e6 > OPEN_SECONDS:
            return None
        view = await self.view(user, team)
        # The moment at its end would make each one new.
        sha = hashlib.sha256(orjson.dumps(view["blocks"][:-1])).hexdigest()
        if says.get("shown") != sha:
            await self._context.web.call("views.publish", user_id=user, view=view)
            item.says = {**says, "shown": sha}
        return Again(seconds=LOOK_SECONDS)

    async def view(self, user: str, team: str) -> Mapping[str, Any]:
        """The tab of a member; one who is not known is told how to get in."""
        caller = await self._context.identities.of(user=user, team=team)
        if caller is None:
            told = answers.how_to_get_in(
                user=user, team=team, help_words=self._context.settings.slack_help
            )
            return home.stranger(told)
        return home.view(await self._home(caller))

    async def _home(self, caller: Caller) -> Home:
        approvals = self._context.approvals
        now = moment(await approvals.store.clock())
        viewer = Viewer(
            name=caller.name, roles=frozenset(role.value for role in caller.roles), now=now
        )
        wanted = Filter(
            statuses=frozenset({ApprovalStatus.PENDING}),
            seen_by=allowed.sight(caller),
        )
        found, total = await approvals.list(caller.tenant, wanted, limit=_LOOKED_AT)
        waiting = [
            Waiting(approval=one, choices=[Choice(word) for word in open_])
            for one in found
            if (open_ := viewer.open_choices(one))
        ]
        mine = {one.approval.approval_id for one in waiting}
        asked = [
            one for one in found if one.requested_by == caller.name and one.approval_id not in mine
        ]
        paused = [one.run_id for one in found if one.requested_by == caller.name]
        return Home(
            name=caller.name,
            roles=[role.value for role in caller.roles],
            now=now,
            waiting=waiting[:_SHOWN],
            # What lies beyond those looked at is not counted as anybody's.
            waiting_total=len(waiting) + (total - len(found)),
            asked=asked[:_SHOWN],
            running=await self._running(caller, paused),
            spending=await self._spending(caller),
        )

    async def _running(self, caller: Caller, paused: list[str]) -> list[Running]:
        context = self._context
        active = cast("set[bytes]", await context.redis.smembers(context.keys.runs_active))
        ids = sorted({one.decode() for one in active}, reverse=True)[:_MOST_ACTIVE]
        records = await self._records.many([*ids, *dict.fromkeys(paused)])
        mine = {
            one.run_id: one
            for one in records
            if one.tenant == caller.tenant
            and one.asked.user == caller.name
            and not one.status.is_terminal
        }
        return [
            Running(
                run_id=one.run_id,
                status=one.status.value,
                question=_question(one),
                since=one.created_at,
            )
            for one in mine.values()
        ]

    async def _spending(self, caller: Caller) -> list[Spending]:
        settings = self._context.settings
        if not settings.budgets:
            return []
        return [
            Spending(
                period=period,
                used=await self._budgets.used(caller.tenant, period),
                budget=budget,
            )
            for period, budget in settings.budget_of(caller.tenant).items()
        ]


def _question(record: RunRecord) -> str:
    said = list(record.asked.messages)[-1:]
    content = said[0].get("content") if said else None
    return content if isinstance(content, str) else ""
