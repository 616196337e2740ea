"""What everything about Slack works with, and where in Slack a run was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from redis.asyncio import Redis
from slack_sdk.web.async_client import AsyncWebClient

from graphs.keys import Keys
from server.approvals.service import Approvals
from server.artifacts.store import ThreadFiles
from server.audit.log import Audit
from server.runs.record import RunRecord
from server.runs.service import Runs
from server.settings import Settings
from server.slack.identities import Identities
from server.slack.links import Links
from server.slack.web import Web
from server.threads.records import RedisThreads

METADATA = "slack"
"""The key in a run's metadata under which its place stands."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where in Slack: workspace, channel, the thread's first message, and who asked by which."""

    team: str
    channel: str
    thread_ts: str
    ts: str
    user: str
    user_team: str = ""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The reverse of ``stored``."""
        names = ("team", "channel", "thread_ts", "ts", "user", "user_team")
        return cls(**{name: str(stored.get(name, "")) for name in names})

    def stored(self) -> dict[str, str]:
        """As plain JSON."""
        return asdict(self)


def place_of(record: RunRecord) -> Place | None:
    """Where a run was asked; None for one that was not asked in Slack."""
    found = record.asked.metadata.get(METADATA)
    return Place.of(found) if isinstance(found, Mapping) and found.get("channel") else None


@dataclass(frozen=True, kw_only=True)
class SlackContext:
    """The parts of the house that Slack reaches, and its own.

    ``web`` tells Slack's errors apart (``web.call("views.open", ...)``), ``client`` is the SDK's.
    ``identities.of_body(body)`` gives the signed caller of an interaction, None for an unknown one.
    ``links`` keeps which message shows what.
    """

    settings: Settings
    redis: Redis
    keys: Keys
    web: Web
    identities: Identities
    links: Links
    approvals: Approvals
    runs: Runs
    threads: RedisThreads
    files: ThreadFiles
    audit: Audit

    @property
    def client(self) -> AsyncWebClient:
        return self.web.client
