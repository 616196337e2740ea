"""A tenant's audit log in Redis: written by scripts, read in pages, checked from end to end."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

from graphs.keys import APPROVAL_NAMES, RUN_NAMES, Keys
from server.audit import scripts
from server.audit.chain import Check, Fault, Head
from server.audit.entry import FIRST, Entry, Line, digest
from server.clock import moment

PAGE = 500

_Page = list[tuple[bytes, dict[bytes, bytes]]]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check of the log found. ``head`` is its last entry: note it elsewhere, and a log
    that was rewritten as a whole is found out too."""

    entries: int
    head: Head
    faults: Sequence[Fault]

    @property
    def whole(self) -> bool:
        return not self.faults


def words(line: Line) -> tuple[str, str]:
    """A line as scripts take it: its body, and the SHA-256 of that."""
    body = line.body
    return body, digest(body)


class Audit:
    """All tenants' logs. Nothing here changes or removes an entry."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self._redis = redis
        self._keys = keys
        self._append = redis.register_script(
            RUN_NAMES + APPROVAL_NAMES + scripts.CLOCK + scripts.AUDIT + scripts.APPEND
        )

    async def append(self, *lines: Line) -> int:
        """Add what no other script tells; replies the last entry's number. One tenant's lines."""
        tenants = {line.tenant for line in lines}
        if len(tenants) != 1:
            raise ValueError("lines of one tenant, at least one")
        pairs = [word for line in lines for word in words(line)]
        reply = await self._append(
            keys=[self._keys.prefix], args=[self._keys.quoted(tenants.pop()), *pairs]
        )
        return int(reply)

    async def head(self, tenant: str) -> Head:
        """The last entry: its number and hash."""
        found = await cast("Any", self._redis.hmget(self._keys.audit_head(tenant), "seq", "hash"))
        return Head(seq=int(found[0] or 0), hash=(found[1] or FIRST.encode()).decode())

    async def entries(self, tenant: str, *, after: int = 0) -> AsyncIterator[Entry]:
        """All entries behind a number, the oldest first."""
        start = f"({after}-0" if after else "-"
        while True:
            page = cast(
                "_Page", await self._redis.xrange(self._keys.audit(tenant), min=start, count=PAGE)
            )
            for entry_id, fields in page:
                yield _entry(entry_id, fields)
            if len(page) < PAGE:
                return
            start = f"({page[-1][0].decode()}"

    async def latest(
        self,
        tenant: str,
        *,
        limit: int = 50,
        before: int | None = None,
        where: Mapping[str, str] | None = None,
    ) -> list[Entry]:
        """The newest entries, the newest first; ``where`` names fields and their values."""
        wanted = dict(where or {})
        end = f"({before}-0" if before is not None else "+"
        found: list[Entry] = []
        while True:
            page = cast(
                "_Page", await self._redis.xrevrange(self._keys.audit(tenant), max=end, count=PAGE)
            )
            for entry_id, fields in page:
                entry = _entry(entry_id, fields)
                if all(entry.fields.get(name) == value for name, value in wanted.items()):
                    found.append(entry)
                if len(found) >= limit:
                    return found
            if len(page) < PAGE:
                return found
            end = f"({page[-1][0].decode()}"

    async def verify(self, tenant: str, *, expected: Head | None = None) -> Verdict:
        """Check every link. ``expected`` is an entry as somebody noted it earlier."""
        head = await self.head(tenant)
        checking = Check(tenant=tenant)
        seen = expected is None or not expected.seq
        async for entry in self.entries(tenant):
            if entry.seq > head.seq and checking.last.seq == head.seq:
                # Perhaps written since; the head is read again to tell.
                head = await self.head(tenant)
            checking.add(entry)
            if expected is not None and entry.seq == expected.seq:
                seen = True
                if entry.hash != expected.hash:
                    what = f"entry {entry.seq} is not the one that was noted earlier"
                    checking.faults.append(Fault(seq=entry.seq, what=what))
        checking.end(head)
        if not seen and expected is not None:
            what = f"entry {expected.seq}, noted earlier, is missing"
            checking.faults.append(Fault(seq=expected.seq, what=what))
        return Verdict(entries=checking.entries, head=head, faults=checking.faults)


def _entry(entry_id: bytes, stored: Mapping[bytes, bytes]) -> Entry:
    """An entry as it is kept. What was tampered with is read as far as it goes."""

    def text(name: bytes) -> str:
        return stored.get(name, b"").decode(errors="replace")

    try:
        fields = json.loads(text(b"body"))
    except ValueError:
        fields = None
    at = text(b"at")
    return Entry(
        seq=int(entry_id.partition(b"-")[0]),
        at=moment(int(at) if at.isdecimal() and len(at) < 17 else 0),
        prev=text(b"prev"),
        hash=text(b"hash"),
        fields=fields if isinstance(fields, dict) else {"body": text(b"body")},
    )
