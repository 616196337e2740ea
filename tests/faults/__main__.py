"""``make faults``: every scenario with many seeds; a failure prints how to play it again.

FAULT_SEEDS: how many seeds (default 100). FAULT_SEED: play this one only. FAULT_JOBS: how many at
once (default 2). FAULT_ONLY: names of scenarios, comma-separated.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evals.product import finished
from tests.faults.nursery import Nursery
from tests.faults.oracle import OracleError
from tests.faults.polling import NotInTimeError
from tests.faults.scenarios.catalogue import SCENARIOS, Scenario
from tests.faults.stage import stage

LONGEST_SECONDS = 180.0
FULL_EVERY = 10
"""Scenarios that have a long form play it with every so many seeds: 1, 11, 21, …"""


@dataclass
class Tally:
    """How one scenario went."""

    scenario: Scenario
    passed: int = 0
    failed: list[tuple[int, str]] = field(default_factory=list)
    kills: int = 0
    seconds: float = 0.0
    longest: float = 0.0


async def play(
    scenario: Scenario, seed: int, *, nursery: Nursery, folder: Path, full: bool = False
) -> int:
    """Once; how many processes were killed on the way, as far as counted.

    Raises what went wrong, with the way to play it again.
    """
    try:
        async with (
            asyncio.timeout(LONGEST_SECONDS),
            stage(seed, nursery=nursery, folder=folder) as there,
        ):
            there.full = full
            await scenario.play(there)
            return there.kills
    except Exception as error:
        error.add_note(f"again: make faults FAULT_SEED={seed} FAULT_ONLY={scenario.name}")
        raise


async def main(scenarios: Sequence[Scenario], seeds: Sequence[int], *, jobs: int) -> int:
    """All scenarios with all seeds; the number of failures."""
    # What our own client of Redis says while there is none is no news.
    logging.getLogger().addHandler(logging.NullHandler())
    tallies = [Tally(scenario) for scenario in scenarios]
    turn = asyncio.Semaphore(jobs)
    with tempfile.TemporaryDirectory(prefix="faults-") as path:
        async with Nursery(Path(path)) as nursery:
            for tally in tallies:
                await asyncio.gather(
                    *(
                        _one(tally, seed, nursery=nursery, root=Path(path), turn=turn)
                        for seed in seeds
                    )
                )
                _tell(tally)
    failures = sum(len(tally.failed) for tally in tallies)
    total = sum(tally.passed for tally in tallies)
    print(f"{total} passed, {failures} failed; {len(tallies)} scenarios, {len(seeds)} seeds")
    return failures


async def _one(
    tally: Tally, seed: int, *, nursery: Nursery, root: Path, turn: asyncio.Semaphore
) -> None:
    async with turn:
        started = time.monotonic()
        folder = root / f"{tally.scenario.name}-{seed}"
        try:
            full = seed % FULL_EVERY == 1
            kills = await play(tally.scenario, seed, nursery=nursery, folder=folder, full=full)
            tally.kills += kills
            tally.passed += 1
        except Exception as error:  # noqa: BLE001 - the edge: the next seed is played
            tally.failed.append((seed, _said(error)))
        took = time.monotonic() - started
        tally.seconds += took
        tally.longest = max(tally.longest, took)


def _said(error: Exception) -> str:
    """What the oracle found; of anything else also where it came from."""
    if isinstance(error, OracleError | NotInTimeError):
        return f"{type(error).__name__}: {error}"
    return "".join(traceback.format_exception(error))[-3000:]


def _tell(tally: Tally) -> None:
    played = tally.passed + len(tally.failed)
    mean = tally.seconds / max(1, played)
    print(
        f"{tally.scenario.number:3} {tally.scenario.name:24} {tally.passed:4} of {played} passed, "
        f"{mean:.1f} s each, the longest {tally.longest:.1f} s"
        + (f", {tally.kills} kills" if tally.kills else ""),
        flush=True,
    )
    for seed, said in tally.failed:
        print(f"    seed {seed}: {said.strip()}")
        print(
            f"    again: make faults FAULT_SEED={seed} FAULT_ONLY={tally.scenario.name}", flush=True
        )


def _asked() -> int:
    given = os.environ
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seeds", type=int, default=int(given.get("FAULT_SEEDS") or 100))
    parser.add_argument("--seed", type=int, default=given.get("FAULT_SEED") or None)
    parser.add_argument("--jobs", type=int, default=int(given.get("FAULT_JOBS") or 2))
    parser.add_argument("--only", default=given.get("FAULT_ONLY") or "")
    asked = parser.parse_args()
    only = {name for name in asked.only.split(",") if name}
    if unknown := only - {scenario.name for scenario in SCENARIOS}:
        parser.error(f"no scenario {', '.join(sorted(unknown))}")
    chosen = [scenario for scenario in SCENARIOS if not only or scenario.name in only]
    seeds = [int(asked.seed)] if asked.seed is not None else list(range(1, asked.seeds + 1))
    try:
        return min(1, finished(main(chosen, seeds, jobs=asked.jobs)))
    except KeyboardInterrupt:
        print("stopped")
        return 130


if __name__ == "__main__":
    sys.exit(_asked())
