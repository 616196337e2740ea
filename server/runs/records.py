"""The run record: the truth about a run. The queue only carries its id."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from graphs.keys import DEFAULT_TENANT, Keys
from server.runs.asked import Asked
from server.runs.record import (
    NotDurableError,
    RunConflictError,
    RunError,
    RunExistsError,
    RunFencedError,
    RunNotFoundError,
    RunRecord,
    ThreadBusyError,
    ThreadNotFoundError,
)
from server.runs.record_scripts import CLAIM, CREATE, FLAG_CANCEL, MOVE, RELEASE
from server.runs.transitions import RunStatus, is_legal

__all__ = [
    "Claim",
    "ClaimOutcome",
    "NotDurableError",
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

MAX_ATTEMPTS = 3
RETENTION_SECONDS = 7 * 24 * 3600
INDEX_SECONDS = 90 * 24 * 3600


class ClaimOutcome(StrEnum):
    """What a worker learns when it asks for a run."""

    HELD = "running"
    """The run is its own, for one attempt."""
    EXHAUSTED = "exhausted"
    """No attempt is left; the run is its own to be ended."""
    UNWANTED = "unwanted"
    """Somebody asked for the run's end before an attempt began."""
    ELSEWHERE = "elsewhere"
    """The run is paused or over."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attempt at a run and the token that its writes carry."""

    outcome: ClaimOutcome
    attempt: int
    token: int


class RunRecords:
    """All run records; every change is one atomic statement with the expected state in it."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        *,
        max_attempts: int = MAX_ATTEMPTS,
        retention_seconds: int = RETENTION_SECONDS,
    ) -> None:
        self._redis = redis
        self._keys = keys
        self._max_attempts = max_attempts
        self._retention = retention_seconds
        self._create = redis.register_script(CREATE)
        self._move = redis.register_script(MOVE)
        self._claim = redis.register_script(CLAIM)
        self._release = redis.register_script(RELEASE)
        self._flag_cancel = redis.register_script(FLAG_CANCEL)

    @property
    def max_attempts(self) -> int:
        return self._max_attempts

    async def create(self, record: RunRecord) -> RunRecord:
        """Store a new run as pending. Raises RunExistsError."""
        static = {
            "run_id": record.run_id,
            "thread_id": record.thread_id,
            "tenant": record.tenant,
            "asked": record.asked.stored(),
        }
        created = await self._create(
            keys=[
                self._keys.run(record.run_id),
                self._keys.runs_active,
                self._keys.thread_runs(record.tenant, record.thread_id),
            ],
            args=[record.run_id, orjson.dumps(static), RunStatus.PENDING.value, INDEX_SECONDS],
        )
        if not created:
            raise RunExistsError(f"run {record.run_id} exists already")
        return await self.get(record.run_id)

    async def get(self, run_id: str) -> RunRecord:
        """The record. Raises RunNotFoundError."""
        stored = cast("dict[bytes, bytes]", await self._redis.hgetall(self._keys.run(run_id)))
        if not stored:
            raise RunNotFoundError(f"no run {run_id}")
        return _record(stored)

    async def claim(self, run_id: str) -> Claim:
        """Take the run for one attempt, counted before the work. Raises RunNotFoundError."""
        found, attempt, token = await self._claim(
            keys=[self._keys.run(run_id), self._keys.runs_active],
            args=[run_id, self._max_attempts],
        )
        word = found.decode()
        if word == "missing":
            raise RunNotFoundError(f"no run {run_id}")
        known = {outcome.value for outcome in ClaimOutcome}
        outcome = ClaimOutcome(word) if word in known else ClaimOutcome.ELSEWHERE
        return Claim(outcome=outcome, attempt=int(attempt), token=int(token))

    async def move(
        self,
        run_id: str,
        *,
        expected: frozenset[RunStatus],
        to: RunStatus,
        token: int | None = None,
        error: str | None = None,
        end: Mapping[str, Any] | None = None,
    ) -> None:
        """Change the state if it is one of those expected.

        A terminal state takes ``end``, the event that tells it, so that a death between this and
        the event log loses nothing. Raises RunNotFoundError, RunConflictError, RunFencedError.
        """
        for before in expected:
            if not is_legal(before=before, after=to):
                raise RunConflictError(f"run {run_id} may not go from {before} to {to}")
        if to.is_terminal and end is None:
            raise ValueError("a terminal state needs its event")
        reply = await self._move(
            keys=[self._keys.run(run_id), self._keys.runs_active, self._keys.runs_closing],
            args=[
                run_id,
                "" if token is None else token,
                f",{','.join(sorted(expected))},",
                to.value,
                int(to.is_terminal),
                self._retention,
                int(to in {RunStatus.PENDING, RunStatus.RUNNING}),
                error or "",
                orjson.dumps(end) if end is not None else b"",
            ],
        )
        match reply.decode():
            case "ok":
                return
            case "missing":
                raise RunNotFoundError(f"no run {run_id}")
            case "fenced":
                raise RunFencedError(f"run {run_id} was taken over by another worker")
            case found:
                raise RunConflictError(f"run {run_id} is {found}, so it cannot become {to}")

    async def release(self, run_id: str, *, token: int) -> bool:
        """Give a running run back unfinished; the attempt does not count. False if not ours."""
        return bool(
            await self._release(
                keys=[self._keys.run(run_id), self._keys.runs_active], args=[run_id, token]
            )
        )

    async def flag_cancel(self, run_id: str) -> RunStatus:
        """Ask for the run's end; gives its state. Raises RunNotFoundError."""
        found = (await self._flag_cancel(keys=[self._keys.run(run_id)])).decode()
        if not found:
            raise RunNotFoundError(f"no run {run_id}")
        return RunStatus(found)

    async def cancel_requested(self, run_ids: Sequence[str]) -> frozenset[str]:
        """Which of these runs somebody wants to end."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for run_id in run_ids:
                pipeline.hexists(self._keys.run(run_id), "cancel")
            flags = await pipeline.execute()
        return frozenset(run_id for run_id, flag in zip(run_ids, flags, strict=True) if flag)

    async def statuses(self, run_ids: Sequence[str]) -> dict[str, RunStatus | None]:
        """The states of many runs; None where there is no record."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for run_id in run_ids:
                pipeline.hget(self._keys.run(run_id), "status")
            found = await pipeline.execute()
        return {
            run_id: RunStatus(word.decode()) if word else None
            for run_id, word in zip(run_ids, found, strict=True)
        }

    async def active(self) -> list[str]:
        """Ids of the runs that are pending or running."""
        return await self._members(self._keys.runs_active)

    async def closing(self) -> list[str]:
        """Ids of the runs whose end is stored and perhaps not yet told."""
        return await self._members(self._keys.runs_closing)

    async def closed(self, run_id: str) -> None:
        """The run's end is in the event log."""
        await self._redis.srem(self._keys.runs_closing, run_id)

    async def forget(self, run_id: str) -> None:
        """Drop an id from the indexes whose record is gone."""
        await self._redis.srem(self._keys.runs_active, run_id)
        await self._redis.srem(self._keys.runs_closing, run_id)

    async def of_thread(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> list[str]:
        """Ids of a thread's runs, oldest first."""
        name = self._keys.thread_runs(tenant, thread_id)
        found = cast("list[bytes]", await self._redis.zrange(name, 0, -1))
        return [word.decode() for word in found]

    async def _members(self, name: str) -> list[str]:
        found = cast("set[bytes]", await self._redis.smembers(name))
        return sorted(word.decode() for word in found)


def _time(microseconds: bytes) -> datetime:
    return datetime.fromtimestamp(int(microseconds) / 1e6, tz=UTC)


def _record(stored: Mapping[bytes, bytes]) -> RunRecord:
    error = stored.get(b"error")
    end = stored.get(b"end")
    data = orjson.loads(stored[b"data"])
    return RunRecord(
        run_id=data["run_id"],
        thread_id=data["thread_id"],
        tenant=data["tenant"],
        asked=Asked.of(data["asked"]),
        status=RunStatus(stored[b"status"].decode()),
        attempts=int(stored[b"attempts"]),
        token=int(stored[b"token"]),
        created_at=_time(stored[b"created_at"]),
        updated_at=_time(stored[b"updated_at"]),
        cancel_requested=b"cancel" in stored,
        error=error.decode() if error else None,
        result=orjson.loads(end) if end else None,
    )
