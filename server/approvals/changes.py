"""The changes of a tenant's queue, followed live: one blocking read per process and tenant."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from graphs.event_fanout import BLOCK_MS, Fanout
from graphs.keys import Keys

BEGINNING = "0-0"
PAGE = 500
_ID = re.compile(r"\d{1,20}-\d{1,20}")


@dataclass(frozen=True, kw_only=True)
class Change:
    """Something happened to an approval: requested, decided, claimed, released, executed, or the
    status in which it ended. What it says now is read from the approval itself."""

    id: str
    approval_id: str
    what: str


class Changes:
    """Reads the changes that the scripts write; ids are the same on every replica."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._fanout: Fanout[Change] = Fanout(redis, decode=_decoded)

    async def last(self, tenant: str) -> str:
        """The id of the latest change; everything behind it is news."""
        found = await self._redis.xrevrange(self._keys.approvals_changes(tenant), count=1)
        return cast("Any", found)[0][0].decode() if found else BEGINNING

    async def knows(self, tenant: str, change_id: str) -> bool:
        """Whether everything behind this change is still there to be read."""
        if not _ID.fullmatch(change_id):
            return False
        stream = self._keys.approvals_changes(tenant)
        return bool(await self._redis.xrange(stream, min=change_id, max=change_id, count=1))

    async def follow(self, tenant: str, *, after: str) -> AsyncIterator[Sequence[Change]]:
        """All changes behind an id, as they come, never ending."""
        stream = self._keys.approvals_changes(tenant)
        with self._fanout.topic(stream) as topic:
            while True:
                changed = topic.changed
                batch = topic.following(after) or await self._read(stream, after)
                if batch:
                    after = batch[-1].id
                    yield batch
                    continue
                topic.seen(after)
                await changed.wait(BLOCK_MS / 1000)

    async def _read(self, stream: str, after: str) -> Sequence[Change]:
        found = await self._redis.xrange(stream, min=f"({after}", count=PAGE)
        return [_decoded(entry_id, fields) for entry_id, fields in cast("Any", found)]


def _decoded(entry_id: bytes, fields: Any) -> Change:
    return Change(
        id=entry_id.decode(),
        approval_id=fields.get(b"id", b"").decode(),
        what=fields.get(b"what", b"").decode(),
    )
