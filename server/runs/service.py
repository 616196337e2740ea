"""Runs as the rest of the server sees them: create, look, follow, wait, decide, cancel, repair."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal, Protocol, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from graphs.event_log import START, Entry, ThreadLog, position
from graphs.keys import DEFAULT_TENANT
from server.runs import endings
from server.runs.asked import Asked, CancelAction
from server.runs.durability import Durability, UnconfirmedError
from server.runs.explain import Explanation, explain
from server.runs.moves import Created, Queued
from server.runs.pages import page
from server.runs.queue import RunQueue
from server.runs.record import NotDurableError, RunNotFoundError, RunRecord
from server.runs.records import RunRecords
from server.runs.telling import Steps, Teller
from server.runs.transitions import RunStatus
from server.telemetry.origin import caller
from server.threads.thread import NewThread

_AT_ONCE = 16

_log = logging.getLogger(__name__)


class OnCreated(Protocol):
    """Told of each run that was accepted, and since when, in seconds since the epoch."""

    def __call__(self, record: RunRecord, /, *, since: float) -> None: ...


class Runs:
    """What a route, a command or a surface needs; works with or without a worker in the process.

    ``durability`` says what has to have a write before the caller hears of it. ``steps`` are the
    runs' checkpoints; without them, a worker takes back what is to be taken back.
    ``created`` is told of each run.
    """

    def __init__(
        self,
        *,
        records: RunRecords,
        log: ThreadLog,
        queue: RunQueue,
        durability: Durability | None = None,
        steps: Steps | None = None,
        created: OnCreated | None = None,
    ) -> None:
        self._created = created
        self._records = records
        self._log = log
        self._queue = queue
        self._durability = durability or Durability(records.redis)
        self._teller = Teller(records=records, log=log, steps=steps)

    async def create(
        self,
        asked: Asked,
        *,
        tenant: str = DEFAULT_TENANT,
        thread_id: str | None = None,
        idempotency_key: str | None = None,
        also_key: str | None = None,
        create_thread: bool = True,
        after_seconds: float = 0,
        new_thread: NewThread | None = None,
    ) -> RunRecord:
        """Accept a run: stored and queued at once, answered when it is durable.

        Without a thread it gets one of its own; one that is made has what ``new_thread`` says.
        Under an ``idempotency_key`` that is known, or else ``also_key``, the first request's run is
        given instead; it is found under both from then on. Raises ThreadBusyError,
        ThreadNotFoundError, and NotDurableError where the run is stored but might not outlive a
        crash; it goes on then, and asking again under the same key finds it.
        """
        since = time.time()
        if origin := caller():
            asked = replace(asked, traceparent=origin)
        record = RunRecord(
            run_id=str(uuid.uuid4()),
            thread_id=thread_id or str(uuid.uuid4()),
            tenant=tenant,
            asked=asked,
        )
        made = uuid.uuid4().hex
        known: list[Created] = []

        async def write(one: Redis) -> Created:
            return await self._records.create(
                record,
                idempotency_key=idempotency_key,
                also_key=also_key,
                create_thread=create_thread,
                after_seconds=after_seconds,
                new_thread=new_thread,
                made=made,
                client=one,
            )

        async def then(created: Created) -> None:
            known.append(created)
            for run_id in created.ended:
                await self._tell(run_id)

        try:
            created = await self._durability.confirmed(write, then=then)
        except UnconfirmedError as error:
            run_id = known[0].run_id
            raise _not_durable(run_id, "accepted", error) from error
        finally:
            for created in known:
                # A worker in this process begins at once, and the answer would wait for it.
                self._queue.put_all_soon(created.queued)
        if self._created is not None and created.record.run_id == record.run_id:
            self._created(created.record, since=since)
        return created.record

    async def get(self, run_id: str, *, tenant: str = DEFAULT_TENANT) -> RunRecord:
        """Raises RunNotFoundError, also for another tenant's."""
        record = await self._records.get(run_id)
        if record.tenant != tenant:
            raise RunNotFoundError(f"no run {run_id}")
        return record

    async def known(
        self, idempotency_key: str, *, tenant: str = DEFAULT_TENANT
    ) -> RunRecord | None:
        """The run that was made under this key, if there is one."""
        return await self._records.known(idempotency_key, tenant=tenant)

    async def of_thread(
        self,
        thread_id: str,
        *,
        tenant: str = DEFAULT_TENANT,
        status: RunStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[RunRecord]:
        """A thread's runs, newest first."""
        found = self._records.of_thread(thread_id, tenant=tenant)
        return await page(found, tenant=None, status=status, limit=limit, offset=offset)

    async def search(
        self,
        *,
        tenant: str | None = None,
        status: RunStatus | None = None,
        limit: int = 10,
        offset: int = 0,
    ) -> list[RunRecord]:
        """All runs, or a tenant's, newest first; for operators."""
        found = self._records.all()
        return await page(found, tenant=tenant, status=status, limit=limit, offset=offset)

    async def dead(self, *, limit: int = 10, offset: int = 0) -> list[RunRecord]:
        """Runs that were given up, the latest first; for operators."""
        found = self._records.dead()
        return await page(found, tenant=None, status=None, limit=limit, offset=offset)

    async def past(
        self, thread_id: str, *, since: datetime, tenant: str = DEFAULT_TENANT
    ) -> AsyncIterator[Entry]:
        """What a thread's log holds from ``since`` up to now; it waits for nothing more."""
        newest = position(await self._log.newest(thread_id, tenant=tenant))
        start = position(f"{int(since.timestamp() * 1000)}-0")
        if newest <= start:
            return
        after = f"{start[0]}-0"
        entries = self._log.read(thread_id, after=after, until_terminal=False, tenant=tenant)
        async with aclosing(cast("Any", entries)):
            async for entry in entries:
                yield entry
                if position(entry.id) >= newest:
                    return

    async def explain(self, run_id: str) -> Explanation:
        """Where a run stands and why; for operators. Raises RunNotFoundError."""
        return await explain(self._records, run_id)

    async def cancel(
        self,
        run_id: str,
        *,
        tenant: str = DEFAULT_TENANT,
        action: CancelAction = CancelAction.INTERRUPT,
    ) -> RunRecord:
        """Ask for the run's end. One that nobody works on ends at once; one that is over stays so.

        Raises RunNotFoundError, NotDurableError. With ``rollback`` the record may be gone already:
        then it is given as it was last.
        """
        before = await self.get(run_id, tenant=tenant)
        if before.status.is_terminal:
            return before

        async def write(one: Redis) -> tuple[RunStatus, Queued]:
            return await self._records.cancel(run_id, action=action, client=one)

        known: list[Queued] = []

        async def then(reply: tuple[RunStatus, Queued]) -> None:
            status, queued = reply
            known.append(queued)
            if status in {RunStatus.PENDING, RunStatus.INTERRUPTED}:
                await self._tell(run_id)

        try:
            await self._durability.confirmed(write, then=then)
        except UnconfirmedError as error:
            raise _not_durable(run_id, "cancelled", error) from error
        finally:
            for queued in known:
                self._queue.put_all_soon(queued)
        try:
            return await self._records.get(run_id)
        except RunNotFoundError:
            return replace(before, status=RunStatus.CANCELLED, cancel_requested=True)

    async def cancel_many(
        self,
        *,
        tenant: str = DEFAULT_TENANT,
        thread_id: str | None = None,
        run_ids: Sequence[str] | None = None,
        status: Literal["pending", "running", "all"] | None = None,
        action: CancelAction = CancelAction.INTERRUPT,
    ) -> list[str]:
        """Cancel the runs named, or all of a thread or tenant in a state; gives their ids."""
        wanted = {
            "pending": {RunStatus.PENDING},
            "running": {RunStatus.RUNNING},
        }.get(status or "all", {RunStatus.PENDING, RunStatus.RUNNING, RunStatus.INTERRUPTED})
        if run_ids is not None:
            found = await self._records.many(run_ids)
        elif thread_id is not None:
            found = [one async for one in self._records.of_thread(thread_id, tenant=tenant)]
        else:
            found = [one async for one in self._records.all()]
        chosen = [
            record.run_id
            for record in found
            if record.tenant == tenant
            and record.status in wanted
            and thread_id in {None, record.thread_id}
        ]
        turn = asyncio.Semaphore(_AT_ONCE)

        async def one(run_id: str) -> str | None:
            async with turn:
                try:
                    await self.cancel(run_id, tenant=tenant, action=action)
                except RunNotFoundError:
                    return None
            return run_id

        done = await asyncio.gather(*(one(run_id) for run_id in chosen))
        return [run_id for run_id in done if run_id is not None]

    async def delete(self, run_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Forget a run that is over or paused; that one is cancelled first.

        Raises RunNotFoundError, RunConflictError, NotDurableError.
        """
        record = await self.get(run_id, tenant=tenant)
        if record.status is RunStatus.INTERRUPTED:
            record = await self.cancel(run_id, tenant=tenant)
        if record.status.is_terminal:
            # Whoever still follows it hears the end.
            self._queue.put_all_soon(await self._teller.tell(record))
        await self._records.delete(run_id)

    async def resume(self, run_id: str, *, value: Any, tenant: str = DEFAULT_TENANT) -> RunRecord:
        """Let a paused run go on with a decision, on any worker.

        Raises RunNotFoundError, RunConflictError, NotDurableError.
        """
        record = await self.get(run_id, tenant=tenant)
        if record.status is RunStatus.INTERRUPTED and await self._records.is_untold(run_id):
            self._queue.put_all_soon(await self._teller.tell(record))

        known: list[Queued] = []

        async def write(one: Redis) -> Queued:
            return await self._records.resume(run_id, value=value, client=one)

        async def then(queued: Queued) -> None:
            known.append(queued)
            await self._log.proceed(record.thread_id, run_id, number=record.resumes, tenant=tenant)

        try:
            await self._durability.confirmed(write, then=then)
        except UnconfirmedError as error:
            raise _not_durable(run_id, "resumed", error) from error
        finally:
            for queued in known:
                self._queue.put_all_soon(queued)
        return await self._records.get(run_id)

    async def requeue(self, run_id: str) -> RunRecord:
        """Let a run that hangs begin anew, with all its attempts; for operators.

        One that was given up stays so, and a new run is made of what it was asked. Raises
        RunNotFoundError, RunConflictError.
        """
        record = await self._records.get(run_id)
        if record.status in {RunStatus.ERROR, RunStatus.TIMEOUT}:
            metadata = {**record.asked.metadata, "retry_of": run_id}
            return await self.create(
                replace(record.asked, metadata=metadata),
                tenant=record.tenant,
                thread_id=record.thread_id,
            )
        self._queue.put_all_soon(await self._records.requeue(run_id))
        return await self._records.get(run_id)

    async def fail(self, run_id: str, *, reason: str) -> RunRecord:
        """End a run as failed, whoever holds it; for operators. ``reason`` is told.

        Raises RunNotFoundError, RunConflictError where it is over.
        """
        end = endings.failed_by(reason)
        live = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.INTERRUPTED})
        queued = await self._records.move(
            run_id,
            expected=live,
            to=RunStatus.ERROR,
            told=end.model_dump(mode="json"),
            error=reason,
        )
        self._queue.put_all_soon(queued)
        await self._tell(run_id)
        return await self._records.get(run_id)

    async def events(self, run_id: str, *, after: str = START) -> AsyncIterator[Entry]:
        """The run's events behind an id, then live, to its end or pause.

        Raises RunNotFoundError.
        """
        record = await self._records.get(run_id)
        entries = self._log.read(
            record.thread_id,
            after=after,
            run_id=run_id,
            # An end that was told and is not there has been trimmed or deleted.
            begun=record.status.is_terminal and not await self._records.is_untold(run_id),
            tenant=record.tenant,
        )
        async with aclosing(cast("Any", entries)):
            async for entry in entries:
                yield entry

    def thread_events(
        self, thread_id: str, *, tenant: str = DEFAULT_TENANT, after: str = START
    ) -> AsyncIterator[Entry]:
        """The events of all runs of a thread behind an id, then live, until its log is deleted."""
        return self._log.read(thread_id, after=after, until_terminal=False, tenant=tenant)

    async def newest(self, thread_id: str, *, tenant: str = DEFAULT_TENANT) -> str:
        """The id of the last event on a thread, behind which what comes is new."""
        return await self._log.newest(thread_id, tenant=tenant)

    async def wait(self, run_id: str) -> RunRecord:
        """The record once the run is over or paused. Raises RunNotFoundError."""
        async with aclosing(cast("Any", self.events(run_id))) as entries:
            async for _ in entries:
                pass
        return await self._records.get(run_id)

    async def _tell(self, run_id: str) -> None:
        try:
            self._queue.put_all_soon(await self._teller.tell_late(run_id))
        except (RedisError, OSError) as error:
            _log.warning("run %s has ended, which is not yet told: %s", run_id, error)


def _not_durable(run_id: str, done: str, error: Exception) -> NotDurableError:
    return NotDurableError(
        f"run {run_id} may or may not have been {done}: {error}; look at it, or send the same "
        "request again (with the same Idempotency-Key, if it makes a run)",
        run_id=run_id,
    )
