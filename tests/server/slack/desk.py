"""Counterpoint with Slack before it: the whole HTTP surface, and the double that it calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from redis.asyncio import Redis

from graphs.keys import Keys
from server.app import build
from server.runs.record import RunRecord
from server.settings import Settings
from server.slack import opening
from server.slack.context import SlackContext
from tests.faults.polling import eventually
from tests.server.slack import events
from tests.server.slack.double import APP_TOKEN, BOT_TOKEN, SECRET, SlackDouble
from tests.server.surface import Parts, in_process

PEOPLE = (
    {"user": "U0ANN", "name": "ann"},
    {"user": "U0OPS", "name": "ops", "roles": ["user", "operator"]},
    {"user": "U0EVE", "name": "eve", "tenant": "others"},
)


@dataclass(kw_only=True)
class Desk:
    """One server's side of Slack."""

    parts: Parts
    slack: opening.Slack
    client: httpx.AsyncClient
    double: SlackDouble

    @property
    def context(self) -> SlackContext:
        return self.slack.context

    async def send(
        self,
        body: str,
        *,
        headers: dict[str, str] | None = None,
        secret: str = SECRET,
        at: int | None = None,
        more: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """What Slack sends, signed unless ``headers`` say otherwise."""
        signed = self.double.signed(body, secret=secret, at=at) if headers is None else headers
        kind = events.form_type(body)
        return await self.client.post(
            "/slack/events", content=body, headers={"Content-Type": kind, **signed, **(more or {})}
        )

    async def runs(self, tenant: str = "default") -> list[RunRecord]:
        """All runs of a tenant."""
        return await self.parts.runs.search(tenant=tenant, limit=100)

    async def settled(self) -> None:
        """Wait until nothing is owed any more."""
        redis, keys = self.context.redis, self.context.keys

        async def nothing() -> bool:
            due = [keys.slack("") + f"{name}-due" for name in ("event", "reply")]
            return not sum([int(await redis.zcard(one)) for one in due])

        await eventually(nothing, within=60, what="everything done")


def settings_for(parts: Parts, double: SlackDouble, **given: Any) -> Settings:
    """The settings of a server with a Slack app."""
    return Settings(
        **{
            **parts.settings.model_dump(exclude_unset=True),
            "slack_bot_token": BOT_TOKEN,
            "slack_signing_secret": SECRET,
            "slack_people": PEOPLE,
            "slack_api_url": double.api_url,
            **given,
        }
    )


@asynccontextmanager
async def at_desk(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    double: SlackDouble,
    *,
    pace_seconds: float = 0.0,
    lease_seconds: float = 5.0,
    deciding: opening.Deciding | None = None,
    **given: Any,
) -> AsyncIterator[Desk]:
    """One, opened and closed."""
    settings = settings_for(parts, double, **given)
    async with opening.opened(
        settings,
        redis=redis,
        keys=keys,
        approvals=parts.approvals,
        runs=parts.runs,
        threads=parts.threads,
        files=parts.files,
        audit=parts.audit,
        feedback=parts.feedback,
        deciding=deciding,
        pace_seconds=pace_seconds,
        lease_seconds=lease_seconds,
    ) as slack:
        app = build(Parts(**{**vars(parts), "settings": settings, "slack": slack}))
        async with in_process(app) as client:
            yield Desk(parts=parts, slack=slack, client=client, double=double)


__all__ = ["APP_TOKEN", "Desk", "at_desk", "settings_for"]
