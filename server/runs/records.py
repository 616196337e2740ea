"""All run records in Redis: the truth about runs. The engine's queue only carries their ids.

Every change is one script with the expected state in it (``record_scripts``), which also decides
who is next (``admission``) and says so: its ``Queued`` has to be put on the queue. A crash in
between loses nothing, the reaper looks after it (``leases``).
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import orjson
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from graphs.keys import DEFAULT_TENANT, Keys
from server.runs import endings, record_scripts, told_scripts
from server.runs.admission import FORMAT, Admission
from server.runs.asked import CancelAction
from server.runs.moves import Claim, ClaimOutcome, Created, Queued
from server.runs.record import (
    NotDurableError,
    RunConflictError,
    RunError,
    RunExistsError,
    RunFencedError,
    RunNotFoundError,
    RunRecord,
    RunStepsLostError,
    RunUnwantedError,
    ThreadBusyError,
    ThreadNotFoundError,
    decoded,
    moment,
    not_created,
)
from server.runs.transitions import RunStatus, is_legal
from server.threads.thread import NewThread

__all__ = [
    "Claim",
    "ClaimOutcome",
    "Created",
    "NotDurableError",
    "Queued",
    "RunConflictError",
    "RunError",
    "RunExistsError",
    "RunFencedError",
    "RunNotFoundError",
    "RunRecord",
    "RunRecords",
    "ThreadBusyError",
    "ThreadNotFoundError",
]

LEASE_SECONDS = 30.0
MAX_ATTEMPTS = 3
RETENTION_SECONDS = 7 * 24 * 3600
IDEMPOTENCY_SECONDS = 24 * 3600
PAGE = 100


class RunRecords:
    """All run records. ``client`` is what to write with, where the caller has a line of its own."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        max_attempts: int = MAX_ATTEMPTS,
        lease_seconds: float = LEASE_SECONDS,
        retention_seconds: int = RETENTION_SECONDS,
        admission: Admission | None = None,
        known_format: int = FORMAT,
    ) -> None:
        self.redis = redis
        self.keys = keys
        self.admission = admission or Admission()
        self.known_format = known_format
        self.lease_seconds = lease_seconds
        self.retention_seconds = retention_seconds
        self._max_attempts = max_attempts
        self._create = redis.register_script(record_scripts.CREATE)
        self._claim = redis.register_script(record_scripts.CLAIM)
        self._move = redis.register_script(record_scripts.MOVE)
        self._release = redis.register_script(record_scripts.RELEASE)
        self._cancel = redis.register_script(record_scripts.CANCEL)
        self._resume = redis.register_script(record_scripts.RESUME)
        self._closed = redis.register_script(told_scripts.CLOSED)
        self._delete = redis.register_script(record_scripts.DELETE)
        self._requeue = redis.register_script(record_scripts.REQUEUE)
        self._told = redis.register_script(told_scripts.TOLD)

    @property
    def max_attempts(self) -> int:
        return self._max_attempts

    async def call(
        self, script: AsyncScript, *args: str | float | bytes, client: Redis | None = None
    ) -> list[Any]:
        """One script of the runs, with what all of them are given first."""
        reply = await script(
            keys=[self.keys.prefix],
            args=[self.admission.tenant_concurrency, self.admission.window, *args],
            client=client,
        )
        return cast("list[Any]", reply)

    async def create(
        self,
        record: RunRecord,
        *,
        idempotency_key: str | None = None,
        also_key: str | None = None,
        create_thread: bool = True,
        after_seconds: float = 0,
        new_thread: NewThread | None = None,
        made: str = "",
        client: Redis | None = None,
    ) -> Created:
        """Store a new run as pending; ``made`` names the call, should it be sent twice.

        A run that is known under one of the keys is given instead. A thread that it makes is given
        what ``new_thread`` has.

        Raises RunExistsError, ThreadBusyError, ThreadNotFoundError.
        """
        asked, new_thread = record.asked, new_thread or NewThread()
        key, also = (
            self.keys.idempotency(record.tenant, one) if one else ""
            for one in (idempotency_key, also_key)
        )
        reply = await self.call(
            self._create,
            record.run_id,
            made or uuid.uuid4().hex,
            orjson.dumps(asked.stored()),
            record.tenant,
            record.thread_id,
            self.keys.quoted(record.tenant),
            self.keys.quoted(record.thread_id),
            key,
            IDEMPOTENCY_SECONDS,
            asked.multitask.value,
            int(create_thread or asked.temporary),
            int(asked.temporary),
            round(after_seconds * 1_000_000),
            orjson.dumps(asked.graph),
            orjson.dumps(asked.assistant_id),
            orjson.dumps(endings.cancelled().model_dump(mode="json")),
            self.retention_seconds,
            FORMAT,
            also,
            *new_thread.told(),
            client=client,
        )
        what, run_id, created, due = (word.decode() for word in reply[:4])
        match what:
            case "created":
                record = _fresh(record, created=created, due=due)
            case "same":
                record = await self.get(run_id)
            case _:
                raise not_created(what, record, run_id=run_id)
        return Created(
            run_id=run_id,
            is_new=what == "created",
            record=record,
            ended=[word.decode() for word in reply[4]],
            flagged=[word.decode() for word in reply[5]],
            queued=Queued.of(reply),
        )

    async def known(self, idempotency_key: str, *, tenant: str) -> RunRecord | None:
        """The run that was made under this key, if there is one."""
        name = self.keys.idempotency(tenant, idempotency_key)
        run_id = cast("bytes | None", await self.redis.get(name))
        found = await self.many([run_id.decode()]) if run_id else []
        return found[0] if found else None

    async def get(self, run_id: str) -> RunRecord:
        """The record. Raises RunNotFoundError."""
        stored = cast("dict[bytes, bytes]", await self.redis.hgetall(self.keys.run(run_id)))
        if not stored:
            raise RunNotFoundError(f"no run {run_id}")
        return decoded(run_id, stored)

    async def many(self, run_ids: Sequence[str]) -> list[RunRecord]:
        """Those records that there are, in this order."""
        async with self.redis.pipeline(transaction=False) as pipeline:
            for run_id in run_ids:
                pipeline.hgetall(self.keys.run(run_id))
            replies = await pipeline.execute()
        found = zip(run_ids, replies, strict=True)
        return [decoded(run_id, stored) for run_id, stored in found if stored]

    async def claim(
        self, run_id: str, *, worker: str = "", nonce: str = "", lease_seconds: float | None = None
    ) -> Claim:
        """Take the run for one attempt, counted before the work. Raises RunNotFoundError."""
        lease = self.lease_seconds if lease_seconds is None else lease_seconds
        reply = await self.call(
            self._claim,
            run_id,
            worker,
            nonce or uuid.uuid4().hex,
            round(lease * 1_000_000),
            self._max_attempts,
            self.known_format,
            orjson.dumps(endings.overtaken().model_dump(mode="json")),
            self.retention_seconds,
            orjson.dumps(endings.answered(run_id).model_dump(mode="json")),
        )
        word, flat = reply[0].decode(), reply[1]
        if word == "missing":
            raise RunNotFoundError(f"no run {run_id}")
        stored = dict(zip(flat[::2], flat[1::2], strict=True))
        # What a newer version stored is not read by this one.
        readable = word != ClaimOutcome.PARKED
        record = decoded(run_id, stored) if readable else RunRecord(run_id=run_id, thread_id="")
        return Claim(outcome=ClaimOutcome(word), record=record, queued=Queued.of(reply))

    async def move(
        self,
        run_id: str,
        *,
        expected: frozenset[RunStatus],
        to: RunStatus,
        told: Mapping[str, Any],
        token: int | None = None,
        error: str | None = None,
        given_up: bool = False,
        step: tuple[str, str] = ("", ""),
    ) -> Queued:
        """End or pause a run if its state is one of those expected.

        ``told`` is the event that says so, stored with the state, so that a death before the event
        log has it loses nothing; ``step`` the hash and field of its last checkpoint, which has to
        be there. Raises RunNotFoundError, RunConflictError, RunFencedError, RunStepsLostError,
        RunUnwantedError.
        """
        if not (to.is_terminal or to is RunStatus.INTERRUPTED):
            raise ValueError(f"{to} is reached by another way")
        for before in expected:
            if not is_legal(before=before, after=to):
                raise RunConflictError(f"run {run_id} may not go from {before} to {to}")
        reply = await self.call(
            self._move,
            run_id,
            "" if token is None else token,
            f",{','.join(sorted(expected))},",
            to.value,
            self.retention_seconds,
            error or "",
            orjson.dumps(told),
            int(given_up),
            *step,
        )
        match reply[0].decode():
            case "ok":
                return Queued.of(reply)
            case "missing":
                raise RunNotFoundError(f"no run {run_id}")
            case "fenced":
                raise RunFencedError(f"run {run_id} was taken over by another worker")
            case "unwanted":
                raise RunUnwantedError(f"run {run_id} was cancelled before it could become {to}")
            case "lost":
                raise RunStepsLostError(f"run {run_id} ended on a step that Redis does not have")
            case found:
                raise RunConflictError(f"run {run_id} is {found}, so it cannot become {to}")

    async def release(self, run_id: str, *, token: int) -> Queued | None:
        """Give a running run back unfinished; the attempt does not count. None if not ours."""
        reply = await self.call(self._release, run_id, token)
        return Queued.of(reply) if reply[0] else None

    async def cancel(
        self,
        run_id: str,
        *,
        action: CancelAction = CancelAction.INTERRUPT,
        client: Redis | None = None,
    ) -> tuple[RunStatus, Queued]:
        """Ask for the run's end; gives the state before. Raises RunNotFoundError."""
        told = orjson.dumps(endings.cancelled().model_dump(mode="json"))
        reply = await self.call(
            self._cancel, run_id, action.value, told, self.retention_seconds, client=client
        )
        return _state(run_id, reply), Queued.of(reply)

    async def resume(self, run_id: str, *, value: Any, client: Redis | None = None) -> Queued:
        """Let a paused run go on with a decision. Raises RunNotFoundError, RunConflictError."""
        reply = await self.call(self._resume, run_id, orjson.dumps(value), client=client)
        if reply[0] == b"overtaken":
            raise RunConflictError(
                f"run {run_id} is not what its thread waits for any more; ask anew"
            )
        status = _state(run_id, reply)
        if status is not RunStatus.INTERRUPTED:
            raise RunConflictError(f"run {run_id} is {status}: it waits for no decision")
        return Queued.of(reply)

    async def closed(self, run_id: str) -> Queued:
        """The run's end is told, and what was to be taken back is: its record goes."""
        return Queued.of(await self.call(self._closed, run_id))

    async def told(self, record: RunRecord, *, end: Mapping[str, Any]) -> None:
        """The end or pause of the run that the record has is in the event log; ``end`` is kept."""
        kept = b"" if end == record.result else orjson.dumps(end)
        await self._told(
            keys=[self.keys.runs_untold, self.keys.run(record.run_id)],
            args=[record.run_id, record.status.value, record.resumes, kept],
        )

    async def delete(self, run_id: str) -> None:
        """Forget a run that is not under way. Raises RunNotFoundError, RunConflictError."""
        reply = await self.call(self._delete, run_id)
        if reply[0] != b"deleted":
            status = _state(run_id, reply)
            raise RunConflictError(f"run {run_id} is {status}; cancel it first")

    async def requeue(self, run_id: str) -> Queued:
        """Let a run that waits begin anew. Raises RunNotFoundError, RunConflictError."""
        reply = await self.call(self._requeue, run_id)
        status = _state(run_id, reply)
        if status is not RunStatus.PENDING:
            raise RunConflictError(f"run {run_id} is {status}: it does not wait")
        return Queued.of(reply)

    async def of_thread(
        self, thread_id: str, *, tenant: str = DEFAULT_TENANT
    ) -> AsyncIterator[RunRecord]:
        """A thread's runs, newest first."""
        async for record in self._walk(self.keys.thread_runs(tenant, thread_id)):
            yield record

    async def all(self) -> AsyncIterator[RunRecord]:
        """All runs there are, newest first."""
        async for record in self._walk(self.keys.runs_all):
            yield record

    async def dead(self) -> AsyncIterator[RunRecord]:
        """Runs that were given up, the latest first."""
        async for record in self._walk(self.keys.runs_dead):
            yield record

    async def is_untold(self, run_id: str) -> bool:
        """Whether its end or pause may not be in the event log yet."""
        return await self.redis.zscore(self.keys.runs_untold, run_id) is not None

    async def untold(self) -> list[str]:
        """Runs whose end or pause may not be in the event log yet."""
        found = cast("list[bytes]", await self.redis.zrange(self.keys.runs_untold, 0, -1))
        return [word.decode() for word in found]

    async def _walk(self, index: str) -> AsyncIterator[RunRecord]:
        start = 0
        while page := cast(
            "list[bytes]", await self.redis.zrevrange(index, start, start + PAGE - 1)
        ):
            ids = [word.decode() for word in page]
            found = await self.many(ids)
            for record in found:
                yield record
            gone = set(ids) - {record.run_id for record in found}
            if gone:
                await self.redis.zrem(index, *gone)
            start += len(found)


def _state(run_id: str, reply: Sequence[Any]) -> RunStatus:
    word = reply[0].decode()
    if not word:
        raise RunNotFoundError(f"no run {run_id}")
    return RunStatus(word)


def _fresh(record: RunRecord, *, created: str, due: str) -> RunRecord:
    at = moment(created.encode())
    return replace(
        record, created_at=at, updated_at=at, due_at=moment(due.encode()) if due else None
    )
