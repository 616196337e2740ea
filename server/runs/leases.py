"""Leases of runs: renewed by who holds them, taken up again by others when they are over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

import orjson

from server.runs import endings, lease_scripts
from server.runs.moves import Queued
from server.runs.records import RunRecords

PATIENCE_SECONDS = 1.0
BATCH = 100


class Pulse(Enum):
    """What a worker hears about a run that it holds."""

    LOST = 0
    RENEWED = 1
    UNWANTED = 2
    GOOD = 3
    """Its lease was not renewed: most of it is left."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a look at all runs brought up: those taken from dead workers, those whose end or pause
    may have to be told, and whose turn it is."""

    lost: Sequence[str]
    untold: Sequence[str]
    queued: Queued


class Leases:
    """The leases of all runs, by Redis' clock."""

    def __init__(self, records: RunRecords, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._records = records
        self._patience = patience_seconds
        self._beat = records.redis.register_script(lease_scripts.BEAT)
        self._reap = records.redis.register_script(lease_scripts.REAP)

    @property
    def seconds(self) -> float:
        """How long a claim holds without being renewed."""
        return self._records.lease_seconds

    async def beat(
        self, worker: str, *, slots: int, held: Mapping[str, int]
    ) -> tuple[Mapping[str, Pulse], Queued]:
        """A worker lives, with its runs and their tokens. Without ``slots`` it takes no more."""
        pairs = [word for run_id, token in held.items() for word in (run_id, token)]
        reply = await self._records.call(
            self._beat, worker, round(self.seconds * 1_000_000), slots, *pairs
        )
        pulses = {run_id: Pulse(code) for run_id, code in zip(held, reply[0], strict=True)}
        return pulses, Queued.of(reply)

    async def reap(self, *, alone: bool = False) -> Found:
        """Take up what is due, lost or forgotten. ``alone``: nobody can hold anything now."""
        reply = await self._records.call(
            self._reap,
            int(alone),
            round(self._patience * 1_000_000),
            self._records.known_format,
            BATCH,
            orjson.dumps(endings.cancelled().model_dump(mode="json")),
            self._records.retention_seconds,
        )
        lost, untold = ([word.decode() for word in words] for words in reply[:2])
        return Found(lost=lost, untold=untold, queued=Queued.of(reply))
