"""The secrets of webhooks: an operator's, or one that is made once."""

from __future__ import annotations

import hmac
import secrets
from typing import cast

from redis.asyncio import Redis

from graphs.keys import DEFAULT_TENANT, Keys

_BYTES = 32


class Secrets:
    """What each tenant's webhooks are signed with.

    ``given`` is the operator's; without it one is made once and kept in Redis, for all processes.
    Tenants other than the first get one derived from it, since whoever checks a signature could
    make one.
    """

    def __init__(self, redis: Redis, keys: Keys, *, given: bytes | None = None) -> None:
        self._redis = redis
        self._key = keys.secret("webhooks")
        self._known = given

    async def of(self, tenant: str) -> bytes:
        """The secret of a tenant."""
        root = await self._root()
        return root if tenant == DEFAULT_TENANT else hmac.digest(root, tenant.encode(), "sha256")

    async def _root(self) -> bytes:
        if self._known is None:
            await self._redis.set(self._key, secrets.token_bytes(_BYTES), nx=True)
            self._known = cast("bytes", await self._redis.get(self._key))
        return self._known
