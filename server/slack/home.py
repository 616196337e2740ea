"""The home tab: what waits for me, what runs for me, and what is spent. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from guardrails.budgets import Amounts, Budget, Period
from guardrails.policy import Choice
from server.approvals.record import Approval, Kind
from server.slack import blocks, cards, text
from server.slack.blocks import Block

RUN_STOP = "run_stop"
REFRESH = "home_refresh"
_MOST_APPROVALS = 12
_MOST_ASKED = 8
_MOST_RUNS = 10
_MOST_ARGUMENTS = 700
_BAR = 10
_STATES = {
    "pending": ":hourglass: waits for its turn",
    "running": ":arrow_forward: runs",
    "interrupted": ":raising_hand: waits for a person",
}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """An approval, and what the one who looks may do about it."""

    approval: Approval
    choices: Sequence[Choice]


@dataclass(frozen=True, kw_only=True)
class Running:
    """A run of mine. ``question`` is what it was asked."""

    run_id: str
    status: str
    question: str
    since: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What my tenant has spent in a period against its budget."""

    period: Period
    used: Amounts
    budget: Budget


@dataclass(frozen=True, kw_only=True)
class Home:
    """All that the tab shows. ``waiting`` of ``waiting_total`` wait for me; ``asked`` is what I
    asked for and others decide."""

    name: str
    roles: Sequence[str]
    now: datetime
    waiting: Sequence[Waiting] = ()
    waiting_total: int = 0
    asked: Sequence[Approval] = ()
    running: Sequence[Running] = ()
    spending: Sequence[Spending] = ()


def view(home: Home) -> Mapping[str, Any]:
    """The tab as ``views.publish`` is given it."""
    made = [*_waiting(home), *_asked(home), *_running(home), *_spending(home), *_me(home)]
    more = "There is more than Slack shows; the console has all."
    return {"type": "home", "blocks": blocks.within(made, most=blocks.MOST_VIEW_BLOCKS, more=more)}


def stranger(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tab of somebody unknown, from ``answers.how_to_get_in``."""
    return {"type": "home", "blocks": list(message["blocks"])}


def _waiting(home: Home) -> Iterator[Block]:
    yield blocks.header("Waits for you")
    if not home.waiting:
        yield blocks.section("Nothing waits for you.")
    for one in home.waiting[:_MOST_APPROVALS]:
        yield from _one(one, home.now)
    left_out = home.waiting_total - min(len(home.waiting), _MOST_APPROVALS)
    if left_out > 0:
        yield blocks.context(f"… and {left_out:,} more; `counterpoint approvals list` has all.")


def _one(waiting: Waiting, now: datetime) -> Iterator[Block]:
    one = waiting.approval
    critical = ":warning: *Critical* · " if one.terms.critical else ""
    what = "raise a limit" if one.kind is Kind.LIMIT else (one.tool or "a question")
    head = f"{critical}{text.bold(what, 200)} for {text.bold(one.requested_by, 100) or 'somebody'}"
    seconds = (one.expires_at - now).total_seconds()
    small = [f"{text.left(seconds)} left"]
    if one.rule:
        small.append(text.escaped(one.rule, 250))
    if one.terms.quorum > 1:
        small.append(f"{one.consents} of {one.terms.quorum} agree")
    reason = one.reason or one.description
    yield blocks.section(f"{head}\n{text.escaped(reason, 300)}" if reason else head)
    if one.final_args:
        lines = "\n".join(f"{name}: {value}" for name, value in text.arguments(one.final_args))
        yield blocks.preformatted(lines, most=_MOST_ARGUMENTS)
    yield blocks.context(" · ".join(small))
    is_cut = len(lines) > _MOST_ARGUMENTS if one.final_args else False
    if found := cards.buttons(one, waiting.choices, is_cut=is_cut):
        yield found
    yield blocks.divider()


def _asked(home: Home) -> Iterator[Block]:
    if not home.asked:
        return
    yield blocks.header("You asked, others decide")
    for one in home.asked[:_MOST_ASKED]:
        who = text.escaped(" or ".join(sorted(one.terms.roles)), 100)
        seconds = (one.expires_at - home.now).total_seconds()
        what = text.bold(one.tool or "a question", 200)
        yield blocks.section(f"{what}\ndecided by {who}, {text.left(seconds)} left")
    if len(home.asked) > _MOST_ASKED:
        yield blocks.context(f"… and {len(home.asked) - _MOST_ASKED:,} more")


def _running(home: Home) -> Iterator[Block]:
    yield blocks.header("Runs for you")
    if not home.running:
        yield blocks.section("Nothing runs for you.")
    for one in home.running[:_MOST_RUNS]:
        question = text.escaped(" ".join(one.question.split()), 250) or "(no question)"
        since = f" since {text.when(one.since)}" if one.since else ""
        state = _STATES.get(one.status, text.escaped(one.status, 40))
        stop = blocks.button(
            "Stop",
            action=RUN_STOP,
            value=one.run_id,
            style="danger",
            label="Stop this run",
            confirm=blocks.confirm(
                "Stop this run?",
                "It ends where it is; what it waits for is cancelled.",
                yes="Stop it",
                no="Let it run",
                style="danger",
            ),
        )
        yield blocks.section(f"{question}\n{state}{since}", accessory=stop)
    if len(home.running) > _MOST_RUNS:
        yield blocks.context(f"… and {len(home.running) - _MOST_RUNS:,} more")


def _spending(home: Home) -> Iterator[Block]:
    rows = [row for one in home.spending for row in _rows(one)]
    yield blocks.header("Spent")
    if not rows:
        yield blocks.section("Your team has no budget of a day or month.")
    for at in range(0, len(rows), blocks.MOST_FIELDS):
        yield blocks.section(fields=rows[at : at + blocks.MOST_FIELDS])


def _rows(one: Spending) -> Iterator[str]:
    period = "Today" if one.period is Period.DAY else "This month"
    for name in ("cost", "tokens", "model_calls", "tool_calls", "steps", "seconds"):
        most = getattr(one.budget, name)
        if most is None:
            continue
        used = getattr(one.used, name)
        share = used / most if most else 1.0
        full = min(_BAR, round(share * _BAR))
        bar = "█" * full + "░" * (_BAR - full)
        mark = " :warning:" if share >= 0.8 else ""
        told = f"${used:,.2f} of ${most:,.2f}" if name == "cost" else f"{used:,.0f} of {most:,.0f}"
        yield f"*{period}: {name.replace('_', ' ')}*\n`{bar}` {share:.0%}{mark}\n{told}"


def _me(home: Home) -> Iterator[Block]:
    roles = text.escaped(", ".join(sorted(home.roles)), 200)
    yield blocks.divider()
    yield blocks.actions([blocks.button("Refresh", action=REFRESH)])
    yield blocks.context(
        f"You are {text.bold(home.name, 100)} here ({roles}). As of {text.when(home.now)}."
    )
