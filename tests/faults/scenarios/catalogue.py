"""All scenarios by name, with their numbers in the list of fault tests (docs/faults.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from tests.faults.scenarios import (
    approvals,
    approvals_killed,
    kills,
    outages,
    people,
    providers,
    readers,
    tenants,
    zombies,
)
from tests.faults.stage import Stage


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """``number`` in the list; ``play`` raises AssertionError where something does not hold."""

    number: int
    name: str
    play: Callable[[Stage], Awaitable[None]]


SCENARIOS: Sequence[Scenario] = (
    Scenario(number=1, name="killed-at-every-step", play=kills.at_every_step),
    Scenario(number=1, name="killed-before-a-checkpoint", play=kills.before_a_checkpoint),
    Scenario(number=2, name="killed-behind-an-effect", play=kills.behind_an_effect),
    Scenario(number=3, name="stopped-worker", play=zombies.stopped),
    Scenario(number=4, name="blocked-loop", play=zombies.blocked),
    Scenario(number=5, name="poison-run", play=kills.poison),
    Scenario(number=6, name="drain", play=kills.drained),
    Scenario(number=7, name="redis-killed", play=outages.killed),
    Scenario(number=8, name="redis-half-open", play=outages.half_open),
    Scenario(number=9, name="redis-failover", play=outages.failover),
    Scenario(number=9, name="redis-failover-in-a-run", play=outages.failed_over_in_a_run),
    Scenario(number=10, name="redis-full", play=outages.full),
    Scenario(number=10, name="redis-read-only", play=outages.read_only),
    Scenario(number=10, name="redis-slow", play=outages.slow),
    Scenario(number=10, name="redis-loading", play=outages.loading),
    Scenario(number=11, name="wrong-clocks", play=zombies.wrong_clocks),
    Scenario(number=12, name="one-idempotency-key", play=people.one_key),
    Scenario(number=13, name="cancelled", play=people.cancelled),
    Scenario(number=14, name="one-decision", play=people.one_decision),
    Scenario(number=14, name="racing-deciders", play=approvals.races),
    Scenario(number=14, name="decision-killed", play=approvals_killed.around_decisions),
    Scenario(number=14, name="killed-when-asked", play=approvals.dies_when_asked),
    Scenario(number=14, name="killed-when-decided", play=approvals.dies_when_decided),
    Scenario(number=14, name="killed-in-the-tool", play=approvals.dies_in_the_tool),
    Scenario(number=14, name="expires-unattended", play=approvals.expires_unattended),
    Scenario(number=14, name="restart-while-waiting", play=approvals.survives_a_restart),
    Scenario(number=15, name="while-paused", play=people.while_paused),
    Scenario(number=16, name="provider-bad-day", play=providers.bad_day),
    Scenario(number=16, name="killed-in-a-model-call", play=providers.dies_in_a_call),
    Scenario(number=18, name="reader-comes-back", play=readers.comes_back),
    Scenario(number=19, name="api-killed", play=readers.replica_killed),
    Scenario(number=22, name="budget-race", play=tenants.budget_race),
    Scenario(number=23, name="fair-tenants", play=tenants.fair),
)


def named(name: str) -> Scenario:
    """Raises KeyError."""
    return {scenario.name: scenario for scenario in SCENARIOS}[name]
