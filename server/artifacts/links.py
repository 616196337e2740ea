"""Links by which a browser without a key may fetch one file, for a while: signed by the server.

An answer is shown in pages that cannot send a key with an image. The signature is bound to the
file, the tenant and an end; the secret is kept in Redis, so that every process knows it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import cast
from urllib.parse import urlencode

from redis.asyncio import Redis
from starlette.types import Scope

from graphs.keys import Keys

PREFIX = "/artifacts/"
SIGNATURE = "signature"
"""The parameter that makes a link a signed one."""
_END = re.compile(r"\d{1,12}")
_SECRET_BYTES = 32


def is_signed(scope: Scope) -> bool:
    """Whether a request is for a file and brings a signature, which its route then looks at."""
    named = f"{SIGNATURE}=".encode()
    return scope["path"].startswith(PREFIX) and named in scope.get("query_string", b"")


class Links:
    """Signs links to files, and checks them. ``clock`` gives seconds since the epoch."""

    def __init__(self, redis: Redis, keys: Keys, *, clock: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._name = keys.secret("files")
        self._clock = clock
        self._known: bytes | None = None

    async def signer(self, *, tenant: str, seconds: float) -> Callable[[str], str]:
        """From a file's id to the query that lets its address be fetched without a key so long."""
        secret, until = await self._secret(), str(round(self._clock() + seconds))

        def query(artifact_id: str) -> str:
            signed = self._signed(secret, artifact_id, tenant=tenant, until=until)
            return "?" + urlencode({"tenant": tenant, "until": until, SIGNATURE: signed})

        return query

    async def tenant(self, artifact_id: str, query: Mapping[str, str]) -> str | None:
        """Whose file a link may fetch; None where it is not signed by us, or its time is over."""
        tenant, until = query.get("tenant", ""), query.get("until", "")
        given = query.get(SIGNATURE, "")
        if not _END.fullmatch(until) or int(until) < self._clock():
            return None
        signed = self._signed(await self._secret(), artifact_id, tenant=tenant, until=until)
        return tenant if hmac.compare_digest(given.encode(), signed.encode()) else None

    @staticmethod
    def _signed(secret: bytes, artifact_id: str, *, tenant: str, until: str) -> str:
        words = "\x1f".join((artifact_id, tenant, until)).encode("utf-8", "replace")
        return hmac.new(secret, words, hashlib.sha256).hexdigest()

    async def _secret(self) -> bytes:
        if self._known is None:
            made = secrets.token_bytes(_SECRET_BYTES)
            await self._redis.set(self._name, made, nx=True)
            self._known = cast("bytes", await self._redis.get(self._name))
        return self._known
