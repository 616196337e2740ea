"""What people think of a run's answer: one word of each, the last one counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from graphs.keys import Keys

KEPT_SECONDS = 90 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """``score`` is 1 for good and -1 for bad, ``by`` who said it, ``via`` the surface."""

    run_id: str
    by: str
    score: int
    via: str
    at: datetime


class Feedbacks:
    """All feedback, kept for ``KEPT_SECONDS`` behind a run's last one."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def give(self, run_id: str, *, by: str, score: int, via: str) -> Feedback:
        """Keep somebody's word in place of their last one. Whether there is such a run, and whether
        it is theirs to judge, the caller knows."""
        given = Feedback(run_id=run_id, by=by, score=score, via=via, at=datetime.now(UTC))
        stored = {"score": score, "via": via, "at": given.at.isoformat()}
        name = self._keys.run_feedback(run_id)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(name, by, orjson.dumps(stored).decode())
            pipeline.expire(name, KEPT_SECONDS)
            await pipeline.execute()
        return given

    async def of_run(self, run_id: str) -> list[Feedback]:
        """What was said, the oldest first."""
        name = self._keys.run_feedback(run_id)
        found = await cast("Any", self._redis.hgetall(name))
        given = [_read(run_id, by.decode(), stored) for by, stored in found.items()]
        return sorted(given, key=lambda one: (one.at, one.by))


def _read(run_id: str, by: str, stored: bytes) -> Feedback:
    told = orjson.loads(stored)
    return Feedback(
        run_id=run_id,
        by=by,
        score=int(told["score"]),
        via=str(told["via"]),
        at=datetime.fromisoformat(told["at"]),
    )
