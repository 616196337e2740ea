"""What is owed to webhooks, in Redis: put down as a run ends, claimed, tried, settled."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, cast

from redis.asyncio import Redis

from graphs.keys import Keys
from server import clock as clocks
from server.clock import Clock, moment
from server.runs.record import RunRecord, decoded
from server.webhooks import scripts

CLAIM_SECONDS = 60.0
"""How long an attempt is one process' own; longer than any may take."""
KEPT_SECONDS = 7 * 24 * 3600
"""How long one can see what became of a delivery, and no second one is made."""
_log = logging.getLogger(__name__)
_NAMES = uuid.UUID("4b7f4d1e-6b0b-5a86-9d0b-6a5f5b6b6f0a")


class State(StrEnum):
    """What has become of a delivery."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    """It is not tried any more."""


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One message to one URL. ``status`` is that of the run, ``response`` the last HTTP status."""

    delivery_id: str
    run_id: str
    tenant: str
    url: str
    status: str
    state: State
    attempts: int
    token: int
    owed_at: datetime
    tried_at: datetime | None = None
    settled_at: datetime | None = None
    error: str | None = None
    response: int | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A delivery that this process has claimed, with the run as it ended or paused."""

    delivery: Delivery
    record: RunRecord


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """Attempts that are ours now, and the seconds until another delivery may be due."""

    attempts: Sequence[Attempt]
    wait: float | None


def delivery_id(record: RunRecord) -> str:
    """The message's id: one for each end or pause of a run, whoever asks."""
    name = f"{record.run_id}:{record.resumes}:{record.status}"
    return f"msg_{uuid.uuid5(_NAMES, name).hex}"


class Deliveries:
    """All deliveries, by Redis' clock unless another is given."""

    def __init__(self, redis: Redis, keys: Keys, *, clock: Clock | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self.clock = clock or clocks.of_redis(redis)
        self._owe = redis.register_script(scripts.OWE)
        self._claim = redis.register_script(scripts.CLAIM)
        self._settle = redis.register_script(scripts.SETTLE)
        self._defer = redis.register_script(scripts.DEFER)

    async def owe(self, record: RunRecord) -> None:
        """A run has ended or paused: its webhook, if it has one, is to hear of that, once."""
        if not record.asked.webhook:
            return
        made = delivery_id(record)
        await self._owe(
            keys=[
                *self._names(made),
                self._keys.webhooks_of(record.run_id),
                self._keys.run(record.run_id),
            ],
            args=[
                made,
                record.run_id,
                record.tenant,
                record.asked.webhook,
                record.status.value,
                KEPT_SECONDS,
            ],
        )

    async def of_run(self, run_id: str) -> list[Delivery]:
        """What a run has brought about, the oldest first."""
        members = cast("set[bytes]", await self._redis.smembers(self._keys.webhooks_of(run_id)))
        found = []
        for member in members:
            name = member.decode()
            stored = cast("dict[bytes, bytes]", await self._redis.hgetall(self._keys.webhook(name)))
            if stored:
                found.append(_decoded(name, stored))
        return sorted(found, key=lambda one: (one.owed_at, one.delivery_id))

    async def claim(self, *, most: int) -> Claimed:
        """Take what is due, each for one attempt, which is counted before it is made."""
        now = await self.clock()
        until = now + round(CLAIM_SECONDS * 1_000_000)
        first, found = cast(
            "list[Any]",
            await self._claim(
                keys=[self._keys.webhooks_due],
                args=[
                    self._keys.webhook(""),
                    self._keys.webhook_run(""),
                    now,
                    until,
                    most,
                    KEPT_SECONDS,
                ],
            ),
        )
        attempts = []
        for name, flat, run in found:
            try:
                delivery = _decoded(name.decode(), _fields(flat))
                record = decoded(delivery.run_id, _fields(run))
            except (KeyError, ValueError, TypeError):
                # One that this version cannot read keeps no other from being sent.
                _log.exception("webhook %s cannot be read; left to another worker", name.decode())
                continue
            attempts.append(Attempt(delivery=delivery, record=record))
        wait = max(0.0, (float(first) - now) / 1e6) if first else None
        return Claimed(attempts=attempts, wait=wait)

    async def settle(
        self,
        delivery: Delivery,
        state: State,
        *,
        again_in: float = 0,
        error: str = "",
        response: int | None = None,
    ) -> None:
        """What came of an attempt; ``again_in`` seconds it is tried again where it is pending."""
        now = await self.clock()
        await self._settle(
            keys=self._names(delivery.delivery_id),
            args=[
                delivery.delivery_id,
                delivery.token,
                state.value,
                now,
                now + round(again_in * 1_000_000),
                error,
                "" if response is None else response,
                KEPT_SECONDS,
            ],
        )

    async def defer(self, delivery: Delivery, *, seconds: float) -> None:
        """It is not tried now after all, and the attempt is not counted."""
        until = await self.clock() + round(seconds * 1_000_000)
        await self._defer(
            keys=[self._keys.webhook(delivery.delivery_id), self._keys.webhooks_due],
            args=[delivery.delivery_id, delivery.token, until],
        )

    def _names(self, name: str) -> list[str]:
        return [self._keys.webhook(name), self._keys.webhook_run(name), self._keys.webhooks_due]


def _fields(flat: Sequence[bytes]) -> Mapping[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _decoded(name: str, stored: Mapping[bytes, bytes]) -> Delivery:
    def when(field: bytes) -> datetime | None:
        return moment(int(stored[field])) if stored.get(field) else None

    return Delivery(
        delivery_id=name,
        run_id=stored[b"run"].decode(),
        tenant=stored[b"tenant"].decode(),
        url=stored[b"url"].decode(),
        status=stored[b"status"].decode(),
        state=State(stored[b"state"].decode()),
        attempts=int(stored[b"attempts"]),
        token=int(stored[b"token"]),
        owed_at=moment(int(stored[b"owed_at"])),
        tried_at=when(b"tried_at"),
        settled_at=when(b"settled_at"),
        error=stored.get(b"error", b"").decode() or None,
        response=int(stored[b"response"]) if stored.get(b"response") else None,
    )
