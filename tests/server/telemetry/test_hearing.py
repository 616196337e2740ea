"""Listeners hear a run's events; one that fails harms neither the run nor the others."""

from __future__ import annotations

import logging

import pytest

from graphs import events
from server.runs.record import RunRecord
from server.telemetry.hearing import Heard, Left, Listeners

RECORD = RunRecord(run_id="r", thread_id="t", token=3)
STARTED = events.RunStarted(run_id="r", thread_id="t")


class Noting:
    def __init__(self) -> None:
        self.heard: list[tuple[str, Heard, float]] = []

    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        self.heard.append((record.run_id, event, at))


class Failing:
    def hear(self, record: RunRecord, event: Heard, /, *, at: float) -> None:
        raise ValueError("no")


def test_each_listener_hears_each_event_with_the_same_time() -> None:
    one, other = Noting(), Noting()

    Listeners([one, other]).hear(RECORD, STARTED)

    assert one.heard == other.heard
    assert one.heard[0][:2] == ("r", STARTED)


def test_a_listener_that_fails_is_logged_once_and_harms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    hears = Noting()
    listeners = Listeners([Failing(), hears])

    with caplog.at_level(logging.ERROR):
        listeners.hear(RECORD, STARTED, at=1.0)
        listeners.hear(RECORD, Left(ended=True), at=2.0)

    assert hears.heard == [("r", STARTED, 1.0), ("r", Left(ended=True), 2.0)]
    assert [record.getMessage() for record in caplog.records] == ["Failing cannot hear RunStarted"]
