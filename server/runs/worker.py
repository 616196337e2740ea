"""Advances runs: counts the attempt, does the work, stores the end, then tells it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable
from typing import Protocol, Self

from redis.exceptions import RedisError

from graphs import events
from graphs.event_log import ThreadLog
from server.runs.emitter import Emit, Emitter
from server.runs.endings import attempts_spent, cancelled, failed_inside, tell
from server.runs.queue import RunQueue
from server.runs.reaper import Reaper
from server.runs.records import (
    Claim,
    ClaimOutcome,
    RunConflictError,
    RunFencedError,
    RunNotFoundError,
    RunRecord,
    RunRecords,
)
from server.runs.transitions import RunStatus

CONCURRENCY = 10
CANCEL_POLL_SECONDS = 0.5
GRACE_SECONDS = 5.0

Outcome = events.RunFinished | events.RunFailed

_log = logging.getLogger(__name__)


class Executor(Protocol):
    """Does a run's work and gives its terminal event, which it does not emit itself.

    It goes on from the thread's checkpoint where there is one: an attempt may be a second one.
    """

    def __call__(self, record: RunRecord, emit: Emit, /) -> Awaitable[Outcome]: ...


class RunWorker:
    """Takes runs from the queue, a few at a time. Open it with ``async with``.

    ``sole_owner`` says that no other worker shares this Redis: a run that is marked as running
    but not by us has lost its worker, and is taken up again.
    """

    def __init__(
        self,
        *,
        records: RunRecords,
        log: ThreadLog,
        queue: RunQueue,
        executor: Executor,
        concurrency: int = CONCURRENCY,
        grace_seconds: float = GRACE_SECONDS,
        sole_owner: bool = True,
    ) -> None:
        self._records = records
        self._log = log
        self._queue = queue
        self._executor = executor
        self._concurrency = concurrency
        self._grace = grace_seconds
        self._working: dict[str, asyncio.Future[Outcome] | None] = {}
        self._interrupted: set[str] = set()
        self._returned: set[str] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._reaper = Reaper(
            records=records, log=log, queue=queue, holds=self._working, sole_owner=sole_owner
        )

    async def __aenter__(self) -> Self:
        await self._reaper.sweep(starting=True)
        ready = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._serve(ready), name="run worker"),
            asyncio.create_task(self._watch_cancels(), name="run cancels"),
            asyncio.create_task(self._reaper.run(), name="run reaper"),
        ]
        await ready.wait()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Take no more runs, let the current ones end within the grace, give the rest back."""
        serving, *others = self._tasks
        self._stop.set()
        deadline = time.monotonic() + self._grace
        while self._working and (left := deadline - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._idle.wait()
        while not serving.done():
            for run_id in list(self._working):
                self._interrupt(run_id)
            await asyncio.wait({serving}, timeout=0.1)
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._returned:
            try:
                await self._queue.put_again(sorted(self._returned))
            except (RedisError, OSError) as error:
                # They are stored as pending: the next worker's reaper queues them.
                _log.warning("%d runs could not be given back: %s", len(self._returned), error)

    async def idle(self) -> None:
        """Wait until no run is being worked on."""
        await self._idle.wait()

    async def advance(self, run_id: str) -> None:
        """One delivery of a run id: at most one attempt."""
        if run_id in self._working:
            _log.warning("run %s was delivered twice", run_id)
            return
        if self._stop.is_set():
            self._returned.add(run_id)
            return
        self._working[run_id] = None
        self._idle.clear()
        attempt = asyncio.create_task(self._attempt(run_id), name=f"run {run_id}")
        try:
            while not attempt.done():
                try:
                    await asyncio.wait({attempt})
                except asyncio.CancelledError:
                    # The work is interrupted; its ending is still written.
                    self._interrupt(run_id)
            attempt.result()
        finally:
            del self._working[run_id]
            self._interrupted.discard(run_id)
            if not self._working:
                self._idle.set()

    async def _serve(self, ready: asyncio.Event) -> None:
        while not self._stop.is_set():
            try:
                await self._queue.serve(
                    self.advance, concurrency=self._concurrency, ready=ready, stop=self._stop
                )
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("the run worker stumbled and starts again")
                await asyncio.sleep(1)

    async def _watch_cancels(self) -> None:
        """A cancel that the queue's own message did not bring."""
        while True:
            await asyncio.sleep(CANCEL_POLL_SECONDS)
            if not self._working:
                continue
            try:
                unwanted = await self._records.cancel_requested(list(self._working))
            except (RedisError, OSError) as error:
                _log.warning("cannot ask for cancelled runs: %s", error)
                continue
            for run_id in unwanted:
                self._interrupt(run_id)

    def _interrupt(self, run_id: str) -> None:
        """Cancel the work, once: a second cancel would cut its cleaning up short."""
        work = self._working.get(run_id)
        if work is not None and run_id not in self._interrupted:
            self._interrupted.add(run_id)
            work.cancel()

    async def _attempt(self, run_id: str) -> None:
        try:
            claim = await self._records.claim(run_id)
            record = await self._records.get(run_id)
            match claim.outcome:
                case ClaimOutcome.ELSEWHERE:
                    return
                case ClaimOutcome.UNWANTED:
                    await self._end(record, cancelled(), token=None)
                case ClaimOutcome.EXHAUSTED:
                    await self._end(record, attempts_spent(record.attempts), token=claim.token)
                case ClaimOutcome.HELD:
                    await self._work(record, claim)
        except RunNotFoundError:
            _log.warning("run %s is gone", run_id)
        except (RunFencedError, RunConflictError) as error:
            _log.warning("%s: its end is not ours to write", error)
        except (RedisError, OSError) as error:
            # The record still says what is to be done; the reaper brings the run back.
            _log.warning("run %s lost Redis: %s", run_id, error)

    async def _work(self, record: RunRecord, claim: Claim) -> None:
        emitter = Emitter(self._log, record)
        emitter.emit(
            events.RunStarted(
                run_id=record.run_id,
                thread_id=record.thread_id,
                agent=record.asked.agent,
                attempt=claim.attempt,
            )
        )
        work = asyncio.ensure_future(self._executor(record, emitter.emit))
        self._working[record.run_id] = work
        await self._ended(record.run_id, work)
        await emitter.drain()
        if work.cancelled() and record.run_id in self._interrupted:
            if record.run_id in await self._records.cancel_requested([record.run_id]):
                await self._end(record, cancelled(usage=emitter.usage), token=claim.token)
            elif await self._records.release(record.run_id, token=claim.token):
                self._returned.add(record.run_id)
            return
        try:
            end = work.result()
        except RedisError:
            raise
        except (Exception, asyncio.CancelledError):  # noqa: BLE001 - whatever the work raises
            _log.exception("run %s failed", record.run_id)
            end = failed_inside(record.run_id, usage=emitter.usage)
        await self._end(record, end, token=claim.token)

    async def _ended(self, run_id: str, work: asyncio.Future[Outcome]) -> None:
        """Wait for the work, also when this task is being cancelled with everything else."""
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:
                self._interrupt(run_id)

    async def _end(self, record: RunRecord, end: Outcome, *, token: int | None) -> None:
        told = end.model_dump(mode="json")
        failed = isinstance(end, events.RunFailed)
        status = RunStatus.ERROR if failed else RunStatus.SUCCESS
        if isinstance(end, events.RunFailed) and end.error == "cancelled":
            status = RunStatus.CANCELLED
        await self._records.move(
            record.run_id,
            expected=frozenset({RunStatus.RUNNING})
            if status is RunStatus.SUCCESS
            else frozenset({RunStatus.PENDING, RunStatus.RUNNING}),
            to=status,
            token=token,
            error=end.message if isinstance(end, events.RunFailed) else None,
            end=told,
        )
        await tell(record, told, records=self._records, log=self._log)
