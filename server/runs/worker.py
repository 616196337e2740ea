"""Advances runs: claims one under a lease, does the work, stores the end, then tells it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Self, TypeVar

from redis.exceptions import RedisError

from graphs import events
from graphs.event_log import ThreadLog
from graphs.fence import FencedError
from server import patience
from server.runs import endings
from server.runs.emitter import Emitter
from server.runs.endings import Outcome
from server.runs.executing import Executor, OnPause
from server.runs.held import Failure, Held, Why, failure_of
from server.runs.leases import Leases, Pulse
from server.runs.moves import Claim, ClaimOutcome, Queued
from server.runs.queue import RunQueue, Slots
from server.runs.reaper import Reaper
from server.runs.record import (
    RunConflictError,
    RunFencedError,
    RunNotFoundError,
    RunRecord,
    RunStepsLostError,
    RunUnwantedError,
)
from server.runs.records import RunRecords
from server.runs.telling import Steps, Teller
from server.runs.transitions import RunStatus
from server.telemetry.hearing import Listeners

__all__ = ["Executor", "Outcome", "RunWorker"]

CONCURRENCY = 10
BEAT_SECONDS = 0.4
LISTEN_SECONDS = 2.0
GRACE_SECONDS = 5.0

Reply = TypeVar("Reply")

_log = logging.getLogger(__name__)


class RunWorker:
    """Takes runs from the queue, a few at a time. Open it with ``async with``.

    ``sole_owner`` says that no other worker shares this Redis: at its start nothing runs, whatever
    is said to. ``steps`` are the runs' checkpoints, for those that are to be taken back.
    ``on_pause`` is called before a run becomes paused; it may be called again for the same pause.
    """

    def __init__(
        self,
        *,
        records: RunRecords,
        log: ThreadLog,
        queue: RunQueue,
        executor: Executor,
        steps: Steps | None = None,
        concurrency: int = CONCURRENCY,
        grace_seconds: float = GRACE_SECONDS,
        sole_owner: bool = True,
        on_pause: OnPause | None = None,
        listeners: Listeners | None = None,
        name: str = "",
    ) -> None:
        self.name = name or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}"
        self._records = records
        self._log = log
        self._queue = queue
        self._executor = executor
        self._concurrency = concurrency
        self._grace = grace_seconds
        self._sole_owner = sole_owner
        self._on_pause = on_pause
        self._listeners = listeners or Listeners()
        self._leases = Leases(records)
        self._teller = Teller(records=records, log=log, steps=steps)
        self._reaper = Reaper(leases=self._leases, teller=self._teller, queue=queue)
        self._held: dict[str, Held] = {}
        self._slots = Slots(concurrency)
        self._attempts: set[asyncio.Task[None]] = set()
        self._returned: set[str] = set()
        self._beaten = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self._stop = asyncio.Event()
        self._hurried = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._reaper.sweep(alone=self._sole_owner)
        await self._beat()
        ready = asyncio.Event()
        self._tasks = [
            asyncio.create_task(self._serve(ready), name="run worker"),
            asyncio.create_task(self._keep_leases(), name="run leases"),
            asyncio.create_task(self._hear_cancels(), name="run cancels"),
            asyncio.create_task(self._reaper.run(), name="run reaper"),
        ]
        await ready.wait()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Take no more runs, let the current ones end within the grace, give the rest back."""
        serving, *others = self._tasks
        self._stop.set()
        deadline = time.monotonic() + self._grace
        while (
            self._held and not self._hurried.is_set() and (left := deadline - time.monotonic()) > 0
        ):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._idle_or_hurried()
        await asyncio.wait({serving})
        while self._attempts:
            for held in list(self._held.values()):
                held.interrupt(Why.STOPPING)
            await asyncio.wait(self._attempts, timeout=0.1)
        await patience.over(*others)
        await asyncio.gather(*others, return_exceptions=True)
        try:
            await self._beat()
            await self._queue.put_again(sorted(self._returned))
        except (RedisError, OSError) as error:
            # They are stored as pending: another worker's reaper queues them.
            _log.warning("%d runs could not be given back: %s", len(self._returned), error)

    def hurry(self) -> None:
        """Let the grace of a stop be over now: what is left is given back."""
        self._hurried.set()

    async def idle(self) -> None:
        """Wait until no run is being worked on."""
        await self._idle.wait()

    async def _idle_or_hurried(self) -> None:
        waits = [asyncio.create_task(one.wait()) for one in (self._idle, self._hurried)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    async def advance(self, run_id: str) -> None:
        """Take a run that was delivered: at most one attempt at it begins."""
        if run_id in self._held:
            _log.warning("run %s was delivered twice", run_id)
            return
        if self._stop.is_set():
            self._returned.add(run_id)
            return
        held = self._held[run_id] = Held()
        self._idle.clear()
        self._slots.take()
        attempt = asyncio.create_task(self._attempt(run_id, held), name=f"run {run_id}")
        self._attempts.add(attempt)
        attempt.add_done_callback(lambda done: self._attempted(run_id, held, done))

    def _attempted(self, run_id: str, held: Held, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        del self._held[run_id]
        self._slots.give()
        if not self._held:
            self._idle.set()
        if not attempt.cancelled() and (error := attempt.exception()) is not None:
            _log.error("run %s stumbled", run_id, exc_info=error)
        if held.after:
            again = asyncio.create_task(self._put(held.after), name=f"again {run_id}")
            self._attempts.add(again)
            again.add_done_callback(self._attempts.discard)

    async def _serve(self, ready: asyncio.Event) -> None:
        while not self._stop.is_set():
            try:
                await self._queue.serve(
                    self.advance,
                    name=self.name,
                    slots=self._slots,
                    ready=ready,
                    stop=self._stop,
                )
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("the run worker stumbled and starts again")
                await asyncio.sleep(1)

    async def _hear_cancels(self) -> None:
        """The fast way to a run that is unwanted; what is missed here, a beat hears."""
        while True:
            try:
                async with self._records.redis.pubsub() as heard:
                    await heard.subscribe(self._records.keys.runs_cancelled)
                    while True:
                        said = await heard.get_message(
                            ignore_subscribe_messages=True, timeout=LISTEN_SECONDS
                        )
                        held = self._held.get(said["data"].decode()) if said else None
                        if held is not None and held.token:
                            held.interrupt(Why.CANCELLED)
            except (RedisError, OSError) as error:
                _log.warning("cannot listen for cancelled runs: %s", error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("listening for cancelled runs failed")
            await asyncio.sleep(1)

    async def _keep_leases(self) -> None:
        """Renew what is held, hear of what is unwanted, and let go of what cannot be renewed."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if not self._held and time.monotonic() < self._beaten + self._leases.seconds / 8:
                continue
            try:
                await self._beat()
            except (RedisError, OSError) as error:
                _log.warning("cannot renew the leases of %d runs: %s", len(self._held), error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("renewing leases failed")
            now = time.monotonic()
            for run_id, held in list(self._held.items()):
                if held.token and now > held.renewed + self._leases.seconds:
                    _log.warning("run %s: its lease ran out; another worker may have it", run_id)
                    held.interrupt(Why.LOST)

    async def _beat(self) -> None:
        asked = time.monotonic()
        held = {run_id: one for run_id, one in self._held.items() if one.token}
        pulses, queued = await self._leases.beat(
            self.name,
            slots=0 if self._stop.is_set() else self._concurrency,
            held={run_id: one.token for run_id, one in held.items()},
        )
        for run_id, pulse in pulses.items():
            match pulse:
                case Pulse.LOST:
                    held[run_id].interrupt(Why.LOST)
                case Pulse.UNWANTED:
                    held[run_id].interrupt(Why.CANCELLED)
                case Pulse.RENEWED:
                    held[run_id].renewed = asked
        self._beaten = asked
        await self._put(queued)

    async def _attempt(self, run_id: str, held: Held) -> None:
        try:
            asked = time.monotonic()
            claim = await self._records.claim(run_id, worker=self.name)
            if claim.outcome not in {ClaimOutcome.ELSEWHERE, ClaimOutcome.PARKED}:
                held.take(claim.token, at=asked)
            await self._put(claim.queued)
            match claim.outcome:
                case ClaimOutcome.ELSEWHERE:
                    return
                case ClaimOutcome.PARKED:
                    _log.warning("run %s waits for a newer worker: update this one", run_id)
                    return
                case ClaimOutcome.UNWANTED:
                    await self._end(claim.record, endings.cancelled(), held=held)
                case ClaimOutcome.EXHAUSTED:
                    _log.error("run %s is given up after %d attempts", run_id, claim.attempt)
                    spent = endings.attempts_spent(claim.attempt)
                    await self._end(claim.record, spent, held=held, given_up=True)
                case ClaimOutcome.HELD:
                    try:
                        await self._work(claim, held)
                    finally:
                        self._listeners.hear(claim.record, held.left(sys.exception()))
        except RunNotFoundError:
            _log.warning("run %s is gone", run_id)
        except (FencedError, RunFencedError, RunConflictError) as error:
            _log.warning("run %s is not ours any more: %s", run_id, error)
        except (RedisError, OSError) as error:
            # The record still says what is to be done; the reaper brings the run back.
            _log.warning("run %s lost Redis: %s", run_id, error)

    async def _work(self, claim: Claim, held: Held) -> None:
        record = claim.record
        emitter = Emitter(
            self._log,
            record,
            fenced=lambda: held.interrupt(Why.LOST),
            hear=partial(self._listeners.hear, record),
        )
        emitter.emit(
            events.RunStarted(
                run_id=record.run_id,
                thread_id=record.thread_id,
                agent=record.asked.agent,
                attempt=claim.attempt,
            )
        )
        work = held.begin(self._executor(record, emitter.emit))
        await held.ended()
        if held.why is Why.LOST:
            return
        try:
            await emitter.drain()
            if held.why is not None and (work.cancelled() or work.exception() is not None):
                await self._interrupted(record, held, usage=emitter.usage)
                return
            end = work.result()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever work raises
            match failure_of(error):
                case Failure.FENCED:
                    _log.warning("run %s is not ours any more: %s", record.run_id, error)
                    return
                case Failure.REDIS:
                    _log.warning("run %s waits for Redis: %s", record.run_id, error)
                    await self._give_back(record, held)
                    return
                case Failure.INSIDE:
                    _log.exception("run %s failed", record.run_id)
                    end = endings.failed_inside(record.run_id, usage=emitter.usage)
        try:
            await self._end(record, end, held=held)
        except (RunStepsLostError, RunUnwantedError) as error:
            _log.warning("%s; it is ended, or goes on from an earlier step", error)
            await self._interrupted(record, held, usage=emitter.usage)

    async def _interrupted(self, record: RunRecord, held: Held, *, usage: events.Usage) -> None:
        now = await self._insist(held, lambda: self._records.get(record.run_id))
        if now.cancel_requested:
            await self._end(record, endings.cancelled(usage=usage), held=held)
        else:
            await self._give_back(record, held)

    async def _give_back(self, record: RunRecord, held: Held) -> None:
        queued = await self._insist(
            held, lambda: self._records.release(record.run_id, token=record.token)
        )
        if queued is None:
            return
        if self._stop.is_set():
            self._returned.update((*queued.first, *queued.again))
        else:
            # The engine still counts this delivery; the next one is made when it is over.
            held.after = queued

    async def _end(
        self, record: RunRecord, end: Outcome, *, held: Held, given_up: bool = False
    ) -> None:
        told, status = end.model_dump(mode="json"), endings.status_of(end)
        if isinstance(end, events.RunInterrupted) and self._on_pause is not None:
            # Who is asked knows of it before the run waits for the answer.
            asking = self._on_pause
            await self._insist(held, lambda: asking(record, end))
        queued = await self._insist(
            held,
            lambda: self._records.move(
                record.run_id,
                expected=frozenset({RunStatus.RUNNING}),
                to=status,
                told=told,
                token=record.token,
                error=end.message if isinstance(end, events.RunFailed) else None,
                given_up=given_up,
                step=endings.last_step(end, record, keys=self._records.keys),
            ),
        )
        held.over = True
        self._listeners.hear(record, end)
        await self._put(queued)
        if status is RunStatus.CANCELLED:
            # Whether its steps are to go was said after it was claimed.
            stored = await self._records.get(record.run_id)
        else:
            stored = replace(record, status=status, result=told)
        await self._put(await self._teller.tell(stored))

    async def _put(self, queued: Queued) -> None:
        """Put on the queue those whose turn it is; they are stored, so the reaper does it too."""
        try:
            await self._queue.put_all(queued)
        except (RedisError, OSError) as error:
            _log.warning("%d runs are let in but not yet queued: %s", len(queued), error)

    async def _insist(self, held: Held, move: Callable[[], Awaitable[Reply]]) -> Reply:
        """Make a move, again while Redis is away, for as long as the run is surely ours."""
        while True:
            try:
                return await move()
            except (RedisError, OSError) as error:
                if time.monotonic() > held.renewed + self._leases.seconds:
                    raise
                _log.warning("waiting for Redis: %s", error)
                await asyncio.sleep(BEAT_SECONDS)
