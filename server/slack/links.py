"""Small facts that connect Slack to the rest: which message shows what. Atomic, and they expire."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from graphs.keys import Keys

KEPT_SECONDS = 30 * 24 * 3600


class Links:
    """JSON objects by kind and name, kept for ``KEPT_SECONDS`` unless told otherwise."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys

    async def claim(
        self, kind: str, name: str, value: Mapping[str, Any], *, seconds: int = KEPT_SECONDS
    ) -> bool:
        """Put it there if nothing is; replies whether it was, so that one of many does the work."""
        written = orjson.dumps(dict(value))
        done = await self._redis.set(self._name(kind, name), written, nx=True, ex=seconds)
        return bool(done)

    async def put(
        self, kind: str, name: str, value: Mapping[str, Any], *, seconds: int = KEPT_SECONDS
    ) -> None:
        """Put it there, whatever was."""
        await self._redis.set(self._name(kind, name), orjson.dumps(dict(value)), ex=seconds)

    async def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """What is there."""
        found = await self._redis.get(self._name(kind, name))
        return cast("dict[str, Any]", orjson.loads(cast("bytes", found))) if found else None

    async def drop(self, kind: str, name: str) -> None:
        """Forget it."""
        await self._redis.delete(self._name(kind, name))

    def _name(self, kind: str, name: str) -> str:
        return self._keys.slack("link", kind, name)
