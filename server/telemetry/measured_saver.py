"""The checkpoint saver as it is, with what it stores counted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from graphs.keys import Keys
from graphs.retention import Retention
from graphs.saver import RedisSaver
from server.telemetry import metric_names as names
from server.telemetry.metrics import Metrics


class _Counting:
    """A script that stores a checkpoint; what it is sent is counted."""

    def __init__(self, script: AsyncScript, metrics: Metrics) -> None:
        self._script = script
        self._metrics = metrics

    async def __call__(self, *, keys: Sequence[Any], args: Sequence[Any]) -> Any:
        reply = await self._script(keys=keys, args=args)
        self._metrics.add(names.CHECKPOINTS)
        self._metrics.add(names.CHECKPOINT_BYTES, float(sum(map(len, args))))
        return reply


class MeasuredSaver(RedisSaver):
    """Counts the checkpoints that are put, and their bytes on the wire."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        metrics: Metrics,
        retention: Retention | None = None,
        allowed: Collection[tuple[str, str]] = (),
    ) -> None:
        super().__init__(redis, keys, retention=retention, allowed=allowed)
        self._put = cast("AsyncScript", _Counting(self._put, metrics))
