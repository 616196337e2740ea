"""All approvals in Redis, read by index and moved by scripts; what is allowed is said elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from graphs.fence import FencedError
from graphs.keys import Keys
from server import clock as clocks
from server.approvals import ending_scripts, scripts, stored
from server.approvals.record import (
    Approval,
    ApprovalNotFoundError,
    ApprovalStatus,
    Kind,
    NewApproval,
)
from server.audit.entry import Line
from server.audit.log import words
from server.telemetry.span import trace_id_of

LOOKED_AT = 2_000
"""How many ids one script looks at, so that no other command waits long for it."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """Who sees only what he asked for himself, and what a rule of the policy lets him decide.

    What a graph of one's own asks is any user's to answer, and no queue of his for all that.
    """

    name: str
    roles: frozenset[str]

    def covers(self, one: Approval) -> bool:
        """Whether it is one of those."""
        ruled = one.kind is not Kind.INTERRUPT
        return one.requested_by == self.name or (ruled and bool(one.terms.roles & self.roles))


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which approvals are meant; None for any. ``seen_by``: those that he may look at."""

    statuses: frozenset[ApprovalStatus] | None = None
    tool: str | None = None
    agent: str | None = None
    thread_id: str | None = None
    run_id: str | None = None
    requested_by: str | None = None
    seen_by: Sight | None = None

    @property
    def fields(self) -> list[tuple[str, Iterable[str]]]:
        """Fields of the stored hash, and the values that fit."""
        given = {
            "tool": self.tool,
            "agent": self.agent,
            "thread": self.thread_id,
            "run": self.run_id,
            "requested_by": self.requested_by,
        }
        return [(name, [value]) for name, value in given.items() if value is not None]


@dataclass(frozen=True, kw_only=True)
class Word:
    """What a script replied."""

    word: str
    about: Sequence[Any] = field(default=())

    @property
    def text(self) -> str:
        """What else it said."""
        return self.about[0].decode() if self.about else ""


class ApprovalStore:
    """Reads and moves approvals; ``client`` is what to write with, where the caller has a line."""

    def __init__(self, redis: Redis, keys: Keys) -> None:
        self.redis = redis
        self.keys = keys
        self.clock = clocks.of_redis(redis)
        self._request = redis.register_script(scripts.REQUEST)
        self._decide = redis.register_script(scripts.DECIDE)
        self._use = redis.register_script(scripts.USE)
        self._claim = redis.register_script(scripts.CLAIM)
        self._release = redis.register_script(scripts.RELEASE)
        self._fitting = redis.register_script(scripts.FITTING)
        self._expire = redis.register_script(ending_scripts.EXPIRE)
        self._cancel = redis.register_script(ending_scripts.CANCEL)
        self._hand_over = redis.register_script(ending_scripts.HAND_OVER)
        self._orphans = redis.register_script(ending_scripts.ORPHANS)
        self._due = redis.register_script(ending_scripts.DUE)
        self._said = redis.register_script(ending_scripts.SAID)
        self._forget = redis.register_script(ending_scripts.FORGET)

    async def get(self, approval_id: str, *, tenant: str | None = None) -> Approval:
        """Raises ApprovalNotFoundError, also for another tenant's."""
        found = await self.many([approval_id])
        if not found or (tenant is not None and found[0].tenant != tenant):
            raise ApprovalNotFoundError(f"no approval {approval_id[:100]}")
        return found[0]

    async def many(self, ids: Sequence[str]) -> list[Approval]:
        """Those that there are, in this order."""
        async with self.redis.pipeline(transaction=False) as pipeline:
            for one in ids:
                pipeline.hgetall(self.keys.approval(one))
            replies = await pipeline.execute()
        return [
            stored.decoded(one, fields)
            for one, fields in zip(ids, replies, strict=True)
            if fields and b"data" in fields
        ]

    async def of_run(self, run_id: str) -> list[Approval]:
        """What a run has asked, the oldest first."""
        return await self._listed(self.keys.approvals_of_run(run_id))

    async def of_thread(self, thread_id: str, *, tenant: str) -> list[Approval]:
        """What the runs of a thread have asked, the oldest first."""
        return await self._listed(self.keys.approvals_of_thread(tenant, thread_id))

    async def find(
        self, tenant: str, wanted: Filter, *, limit: int, offset: int, oldest_first: bool
    ) -> tuple[list[Approval], int]:
        """One page of what fits, and how many fit in all."""
        ids, total = await self._ids(
            tenant, wanted, limit=limit, offset=offset, oldest_first=oldest_first
        )
        return await self.many(ids), total

    async def counts(
        self, tenant: str, *, seen_by: Sight | None = None
    ) -> dict[ApprovalStatus, int]:
        """How many there are in each status."""
        if seen_by is not None:
            counted = {}
            for status in ApprovalStatus:
                wanted = Filter(statuses=frozenset({status}), seen_by=seen_by)
                _, counted[status] = await self._ids(tenant, wanted, limit=0, offset=0)
            return counted
        async with self.redis.pipeline(transaction=False) as pipeline:
            for status in ApprovalStatus:
                pipeline.zcard(self.keys.approvals(tenant, status.value))
            return dict(zip(ApprovalStatus, await pipeline.execute(), strict=True))

    async def request(
        self, approval_id: str, new: NewApproval, *, sha: str, fence: str, pause: int, line: Line
    ) -> bool:
        """Put it down; whether it is new. Raises FencedError."""
        fields = [part for pair in stored.looked_at(new).items() for part in pair]
        done = await self._call(
            self._request,
            approval_id,
            self.keys.quoted(new.tenant),
            self.keys.quoted(new.thread_id),
            new.run_id,
            fence,
            pause,
            stored.written(new),
            sha,
            round(new.terms.expires_seconds * 1_000_000),
            *words(line),
            *fields,
        )
        _unfenced(done, new.run_id)
        return done.word == "new"

    async def decide(self, *args: str | int, client: Redis) -> Word:
        """``scripts.DECIDE`` with its arguments, the last two of them as ``words`` gives them."""
        return await self._call(self._decide, *args, client=client)

    async def use(
        self, one: Approval, *, call_id: str, fence: str, line: Line, client: Redis
    ) -> str:
        """Let a call run by it: 'ended', 'again', 'used' or 'none'. Raises FencedError."""
        done = await self._call(
            self._use,
            one.approval_id,
            one.run_id,
            fence,
            one.args_sha256,
            call_id,
            *words(line),
            client=client,
        )
        _unfenced(done, one.run_id)
        return done.word

    async def claim(self, approval_id: str, *, tenant: str, who: str, seconds: float) -> Word:
        """Say that somebody is at it."""
        args = approval_id, self.keys.quoted(tenant), who, round(seconds)
        return await self._call(self._claim, *args)

    async def release(self, approval_id: str, *, tenant: str, who: str, anybody: bool) -> Word:
        """Say that nobody is at it any more; ``anybody``: whoever was."""
        args = approval_id, self.keys.quoted(tenant), who, int(anybody)
        return await self._call(self._release, *args)

    async def expire(self, one: Approval, line: Line) -> Word:
        """Its time is over: 'ended', 'over' with why its run is, 'early' or 'gone'."""
        return await self._call(self._expire, one.approval_id, *words(line))

    async def cancel(self, one: Approval, line: Line, *, why: str, even_if_wanted: bool) -> Word:
        """Nobody waits for it any more: 'ended', 'wanted' or 'gone'."""
        given = one.approval_id, why, int(even_if_wanted)
        return await self._call(self._cancel, *given, *words(line))

    async def hand_over(self, run_id: str, *, to: str, tenant: str) -> int:
        """What a run has asked is another's now; replies how many."""
        done = await self._call(self._hand_over, run_id, to, self.keys.quoted(tenant))
        return int(done.about[0])

    async def orphans(self, *, most: int) -> list[tuple[str, str]]:
        """Pending approvals whose run will not hear of them, with why."""
        reply = await self._orphans(keys=[self.keys.prefix], args=[most])
        found = [word.decode() for word in reply]
        return list(zip(found[::2], found[1::2], strict=True))

    async def overdue(self, *, most: int) -> list[str]:
        """Pending approvals whose time is over."""
        now = await self.clock()
        found = await self.redis.zrangebyscore(
            self.keys.approvals_expiring, "-inf", now, start=0, num=most
        )
        return [word.decode() for word in cast("list[bytes]", found)]

    async def due(self, *, most: int) -> list[tuple[str, str]]:
        """Runs to which something is to be said now, each with its place in line."""
        reply = await self._due(keys=[self.keys.prefix], args=[most])
        found = [word.decode() for word in reply]
        return list(zip(found[::2], found[1::2], strict=True))

    async def said(self, run_id: str, *, place: str) -> None:
        """All was said to the run, unless something was decided since."""
        await self._call(self._said, run_id, place)

    async def resumed(self, approvals: Iterable[Approval]) -> None:
        """The run goes on with these."""
        now = await self.clock()
        async with self.redis.pipeline(transaction=False) as pipeline:
            for one in approvals:
                pipeline.hset(self.keys.approval(one.approval_id), "resumed_at", now)
            await pipeline.execute()

    async def forget(self, *, older_than_seconds: float, most: int) -> int:
        """Remove what ended so long ago; replies how many."""
        args = [round(older_than_seconds * 1_000_000), most]
        return int(await self._forget(keys=[self.keys.prefix], args=args))

    async def _listed(self, index: str) -> list[Approval]:
        found = cast("list[bytes]", await self.redis.zrange(index, 0, -1))
        return await self.many([word.decode() for word in found])

    async def _ids(
        self,
        tenant: str,
        wanted: Filter,
        *,
        limit: int,
        offset: int,
        oldest_first: bool = False,
    ) -> tuple[list[str], int]:
        index, fields = self._index(tenant, wanted)
        sight = wanted.seen_by
        if not fields and sight is None:
            walk = self.redis.zrange if oldest_first else self.redis.zrevrange
            total = int(await self.redis.zcard(index))
            last = offset + limit - 1
            page = await cast("Any", walk(index, offset, last)) if limit else []
            return [word.decode() for word in page], total
        args = [sight.name, stored.framed(sight.roles)] if sight else ["", ""]
        for name, values in fields:
            args += [name, "\n" + "\n".join(values) + "\n"]
        way = "up" if oldest_first else "down"
        fit: list[str] = []
        start = 0
        while True:
            places = [start, start + LOOKED_AT - 1]
            reply = await self._fitting(
                keys=[index], args=[self.keys.approval(""), way, *places, *args]
            )
            fit += [word.decode() for word in reply[1:]]
            start += LOOKED_AT
            if int(reply[0]) < LOOKED_AT:
                return fit[offset : offset + limit], len(fit)

    def _index(self, tenant: str, wanted: Filter) -> tuple[str, list[tuple[str, Iterable[str]]]]:
        """The smallest index that holds all that may fit, and what is left to look at."""
        fields = wanted.fields
        statuses = wanted.statuses
        if wanted.run_id is not None:
            index = self.keys.approvals_of_run(wanted.run_id)
            fields.append(("tenant", [tenant]))
        elif wanted.thread_id is not None:
            index = self.keys.approvals_of_thread(tenant, wanted.thread_id)
        elif statuses is not None and len(statuses) == 1:
            return self.keys.approvals(tenant, next(iter(statuses)).value), fields
        else:
            index = self.keys.approvals(tenant)
        if statuses is not None:
            fields.append(("status", [status.value for status in statuses]))
        return index, fields

    async def _call(
        self, script: AsyncScript, *args: str | float, client: Redis | None = None
    ) -> Word:
        reply = await script(keys=[self.keys.prefix], args=args, client=client)
        return Word(word=reply[0].decode(), about=reply[1:])


def _unfenced(done: Word, run_id: str) -> None:
    if done.word == "fenced":
        raise FencedError(f"run {run_id} is another worker's now")


def line_of(one: Approval | NewApproval, **given: Any) -> Mapping[str, Any]:
    """What every line of the audit log says of an approval."""
    return {
        "tenant": one.tenant,
        "run_id": one.run_id,
        "thread_id": one.thread_id,
        "tool": one.tool,
        "agent": one.agent,
        "rule": one.rule,
        # A graph of somebody's may be traced elsewhere.
        "trace_id": str(one.context.get("trace_id") or trace_id_of(one.run_id)),
        **given,
    }
