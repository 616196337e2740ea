"""Each fault once, on real processes and a real Redis; `make faults` plays them with many seeds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.faults.__main__ import play
from tests.faults.nursery import Nursery
from tests.faults.scenarios.catalogue import SCENARIOS, Scenario

AT_ONCE = 6

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def seed() -> int:
    """The same each time, so that a change is judged by what it changed; FAULT_SEED is another."""
    return int(os.environ.get("FAULT_SEED") or 1)


@pytest.fixture(scope="module")
def ends(seed: int, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, BaseException | None]:
    """What became of each scenario; they are played side by side, since mostly they wait."""
    return asyncio.run(_play_all(seed, folder=tmp_path_factory.mktemp("faults")))


async def _play_all(seed: int, *, folder: Path) -> dict[str, BaseException | None]:
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(scenario: Scenario, nursery: Nursery) -> BaseException | None:
        async with turn:
            try:
                await play(scenario, seed, nursery=nursery, folder=folder / scenario.name)
            except Exception as error:  # noqa: BLE001 - told by the scenario's own test
                return error
            return None

    async with Nursery(folder) as nursery:
        ended = await asyncio.gather(*(one(scenario, nursery) for scenario in SCENARIOS))
    return {scenario.name: end for scenario, end in zip(SCENARIOS, ended, strict=True)}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: f"{one.number}-{one.name}")
def test_the_oracle_finds_nothing_after(
    scenario: Scenario, ends: Mapping[str, BaseException | None]
) -> None:
    """The scenario's own docstring says what is done and what has to hold."""
    if (end := ends[scenario.name]) is not None:
        raise end
