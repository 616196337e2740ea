"""All crons in Redis, and who may fire which of them now."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from graphs.keys import Keys
from server import clock as clocks
from server.clock import Clock, microseconds, moment
from server.crons import scripts
from server.crons.cron import (
    Cron,
    CronConflictError,
    CronKeyError,
    CronNotFoundError,
    Definition,
    Due,
)

CLAIM_SECONDS = 30.0
"""How long a firing is one process' own; then another one looks after it."""
BATCH = 16
_log = logging.getLogger(__name__)
_TRIES = 5
_NAMES = uuid.UUID("0c6a2f0e-9c55-5d0b-8a3c-7f5f0d4f5a11")


@dataclass(frozen=True, kw_only=True)
class Claimed:
    """Firings that are ours now, and the seconds until something may be due again."""

    due: Sequence[Due]
    wait: float | None
    is_full: bool
    """Whether more may be due."""


class Crons:
    """All crons, by Redis' clock unless another is given."""

    def __init__(self, redis: Redis, keys: Keys, *, clock: Clock | None = None) -> None:
        self._redis = redis
        self._keys = keys
        self.clock = clock or clocks.of_redis(redis)
        self._save = redis.register_script(scripts.SAVE)
        self._delete = redis.register_script(scripts.DELETE)
        self._claim = redis.register_script(scripts.CLAIM)
        self._advance = redis.register_script(scripts.ADVANCE)

    async def create(
        self, definition: Definition, *, tenant: str, idempotency_key: str | None = None
    ) -> Cron:
        """Store a new cron; under a key that is known, the first request's is given instead.

        Raises ScheduleError, CronKeyError.
        """
        made = (
            uuid.uuid5(_NAMES, f"{tenant}:{idempotency_key}") if idempotency_key else uuid.uuid4()
        )
        cron_id, now = str(made), await self.clock()
        new = await self._write(cron_id, definition, tenant=tenant, version=0, now=now, before=None)
        found = await self.get(cron_id, tenant=tenant)
        if not new and found.definition.stored() != definition.stored():
            raise CronKeyError(
                f"Idempotency-Key: it was sent with another request before, which made cron "
                f"{cron_id}; use a new one"
            )
        return found

    async def get(self, cron_id: str, *, tenant: str) -> Cron:
        """Raises CronNotFoundError, also for another tenant's."""
        stored = cast("dict[bytes, bytes]", await self._redis.hgetall(self._keys.cron(cron_id)))
        if not stored or stored[b"tenant"].decode() != tenant:
            raise CronNotFoundError(f"no cron {cron_id}")
        return _decoded(cron_id, stored)

    async def all(self, *, tenant: str) -> list[Cron]:
        """A tenant's crons, the newest first."""
        found = cast("list[bytes]", await self._redis.zrevrange(self._keys.crons(tenant), 0, -1))
        ids = [word.decode() for word in found]
        async with self._redis.pipeline(transaction=False) as pipeline:
            for cron_id in ids:
                pipeline.hgetall(self._keys.cron(cron_id))
            replies = await pipeline.execute()
        return [_decoded(one, stored) for one, stored in zip(ids, replies, strict=True) if stored]

    async def update(
        self, cron_id: str, change: Callable[[Definition], Definition], *, tenant: str
    ) -> Cron:
        """Change a cron; when it fires next is found anew only if that may differ.

        Raises CronNotFoundError, CronConflictError, ScheduleError and what ``change`` raises.
        """
        for _ in range(_TRIES):
            before = await self.get(cron_id, tenant=tenant)
            done = await self._write(
                cron_id,
                change(before.definition),
                tenant=tenant,
                version=before.version,
                now=await self.clock(),
                before=before,
            )
            if done:
                return await self.get(cron_id, tenant=tenant)
        raise CronConflictError(f"cron {cron_id} is being changed by others; try again")

    async def delete(self, cron_id: str, *, tenant: str) -> None:
        """Raises CronNotFoundError."""
        await self.get(cron_id, tenant=tenant)
        names = [self._keys.cron(cron_id), self._keys.crons(tenant), self._keys.crons_due]
        await self._delete(keys=names, args=[cron_id])

    async def claim(self) -> Claimed:
        """Take what is due: each firing goes to one process, and to another when that one dies."""
        now = await self.clock()
        until = now + round(CLAIM_SECONDS * 1_000_000)
        first, found = cast(
            "list[Any]",
            await self._claim(
                keys=[self._keys.crons_due], args=[self._keys.cron(""), now, until, BATCH]
            ),
        )
        due = []
        for cron_id, flat in found:
            stored = dict(zip(flat[::2], flat[1::2], strict=True))
            try:
                cron = _decoded(cron_id.decode(), stored)
            except (KeyError, ValueError, TypeError):
                # One that this version cannot read keeps no other from firing.
                _log.exception("cron %s cannot be read; left to another worker", cron_id.decode())
                continue
            assert cron.next_at is not None
            due.append(Due(cron=cron, at=cron.next_at, again=b"claimed" in stored))
        wait = max(0.0, (float(first) - now) / 1e6) if first else None
        return Claimed(due=due, wait=wait, is_full=len(found) == BATCH)

    async def advance(self, due: Due, *, to: int | None, error: str | None = None) -> bool:
        """A claimed firing is over; ``to`` is the next one in microseconds, None for none.

        False where the cron was changed meanwhile, which has said when it fires next.
        """
        cron = due.cron
        done = await self._advance(
            keys=[self._keys.cron(cron.cron_id), self._keys.crons_due],
            args=[
                cron.cron_id,
                cron.version,
                microseconds(due.at),
                "" if to is None else to,
                error or "",
            ],
        )
        return bool(done)

    async def _write(
        self,
        cron_id: str,
        definition: Definition,
        *,
        tenant: str,
        version: int,
        now: int,
        before: Cron | None,
    ) -> bool:
        if before is not None and _times(before.definition) == _times(definition):
            at = before.next_at
        else:
            at = definition.next(moment(now))
        done = await self._save(
            keys=[self._keys.cron(cron_id), self._keys.crons(tenant), self._keys.crons_due],
            args=[
                cron_id,
                version,
                uuid.uuid4().hex,
                tenant,
                orjson.dumps(definition.stored()),
                "" if at is None else microseconds(at),
                now,
            ],
        )
        return bool(done)


def _times(definition: Definition) -> tuple[Any, ...]:
    """What says when it fires."""
    return (definition.schedule, definition.timezone, definition.enabled, definition.end_time)


def _decoded(cron_id: str, stored: Mapping[bytes, bytes]) -> Cron:
    return Cron(
        cron_id=cron_id,
        tenant=stored[b"tenant"].decode(),
        definition=Definition.of(orjson.loads(stored[b"data"])),
        created_at=moment(int(stored[b"created_at"])),
        updated_at=moment(int(stored[b"updated_at"])),
        next_at=moment(int(stored[b"next"])) if stored[b"next"] else None,
        version=int(stored[b"version"]),
        error=stored.get(b"error", b"").decode() or None,
    )
