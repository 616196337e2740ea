"""Approvals and answers as they come up in a day, for snapshots and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from guardrails.arguments import digest
from guardrails.budgets import Amounts, Budget, Period
from guardrails.policy import Choice, OnExpiry, Terms
from server.approvals.record import Approval, ApprovalStatus, Decided, Kind
from server.slack import answers, cards, home, modals
from server.slack.cards import Reference
from server.slack.modals import Opened

NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)
SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "description": "Number of the order."},
        "amount": {"type": "number", "minimum": 0, "maximum": 1000},
        "currency": {"enum": ["EUR", "USD", "CHF"]},
        "notify": {"type": "boolean", "description": "Tell the customer by e-mail."},
        "lines": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"sku": {"type": "string"}, "price": {"type": "number"}},
            },
        },
        "note": {"anyOf": [{"type": "string", "maxLength": 500}, {"type": "null"}]},
    },
    "required": ["order", "amount", "currency", "lines"],
}
ARGS: Mapping[str, Any] = {
    "order": "A-7",
    "amount": 480.0,
    "currency": "EUR",
    "notify": True,
    "lines": [{"sku": "KB-2", "price": 480.0}],
    "note": None,
}
USAGE = {"model_calls": 3, "input_tokens": 5210, "output_tokens": 402, "cost": 0.0184}
SOURCES = [
    {"number": 1, "title": "Plans and refunds", "page": 4, "heading": "Money back", "text": "…"},
    {"number": 2, "title": "Shipping & returns", "page": None, "heading": None, "text": "…"},
]
RUN = "0197a1b2-0000-7000-8000-000000000001"


def asked(**given: Any) -> Approval:
    """A refund that waits for a person."""
    made: dict[str, Any] = {
        "approval_id": "5f0c9b5e-1c1e-5d43-8f0e-3c3d2f1f2a77",
        "run_id": RUN,
        "thread_id": "t1",
        "interrupt_id": "i",
        "tool": "refund",
        "args": ARGS,
        "agent": "coder",
        "requested_by": "ruth",
        "rule": "ask for refund when amount > 100",
        "reason": "Refunds above 100 are looked at by a person",
        "schema": SCHEMA,
        "context": {
            "question": "Please give Ms Brandt her money back for order A-7.",
            "evidence": [{"title": "Plans and refunds", "page": 4}],
            "usage": USAGE,
        },
        "requested_at": NOW - timedelta(minutes=4),
        "expires_at": NOW + timedelta(hours=23, minutes=56),
        **given,
    }
    made.setdefault("args_sha256", "")
    made["args_sha256"] = made["args_sha256"] or digest(made["tool"] or "ask", made["args"])
    return Approval(**made)


def said(choice: Choice, who: str = "olga", **given: Any) -> Decided:
    made: dict[str, Any] = {"decider": who, "choice": choice, "at": NOW, "via": "slack"}
    return Decided(**{**made, **given})


def decided(status: ApprovalStatus, last: Decided, **given: Any) -> Approval:
    return asked(status=status, decisions=(last,), decided_at=last.at, **given)


LESS = {**ARGS, "amount": 90.5, "note": "Only the keyboard; the rest was used."}
TWO = asked(
    terms=Terms(quorum=2),
    decisions=(said(Choice.APPROVE, args_sha256=digest("refund", ARGS)),),
)
CRITICAL = asked(
    tool="delete_customer",
    args={"customer": "Brandt", "reason": "asked for it"},
    rule="ask for delete_*",
    reason="Deleting cannot be undone",
    schema=None,
    terms=Terms(critical=True, on_expiry=OnExpiry.FAIL, choices=frozenset({*Choice})),
)
LIMIT = asked(
    kind=Kind.LIMIT,
    tool="raise_limit",
    args={"max_tokens": 40000},
    agent="team",
    rule="limit max_tokens",
    reason="max_tokens is reached: 20112 of 20000",
    schema={
        "type": "object",
        "properties": {"max_tokens": {"type": "integer", "exclusiveMinimum": 20000}},
        "required": ["max_tokens"],
    },
    terms=Terms(choices=frozenset({Choice.APPROVE, Choice.EDIT, Choice.REJECT})),
)
QUESTION = asked(
    kind=Kind.INTERRUPT,
    tool="",
    args={},
    agent="planner",
    rule="",
    reason="",
    description="Which of the two offices should get the desk?",
    schema=None,
    terms=Terms(choices=frozenset({Choice.RESPOND})),
)
LONG = asked(args={"order": "A-7", "text": ("Dear Ms Brandt, " + "we are sorry. " * 400).strip()})
APPROVED = decided(ApprovalStatus.APPROVED, said(Choice.APPROVE))
EDITED = decided(
    ApprovalStatus.EDITED,
    said(Choice.EDIT, args=LESS, message=None),
    edited_args=LESS,
)
REJECTED = decided(
    ApprovalStatus.REJECTED,
    said(Choice.REJECT, via="console", message="She sent nothing back yet."),
)
RESPONDED = decided(
    ApprovalStatus.RESPONDED,
    said(Choice.RESPOND, via="cli", message="I have paid it out by hand: receipt 4711."),
)
EXPIRED = asked(status=ApprovalStatus.EXPIRED, decided_at=NOW)
CANCELLED = asked(
    status=ApprovalStatus.CANCELLED, decided_at=NOW, ended_because="its run was cancelled"
)
OPENED = Opened(reference=Reference.of(asked()), channel="C1", ts="1764064800.000200")

HOME = home.Home(
    name="olga",
    roles=["user", "operator"],
    now=NOW,
    waiting=[
        home.Waiting(approval=asked(), choices=tuple(Choice)),
        home.Waiting(
            approval=replace(CRITICAL, approval_id="6f0c9b5e-1c1e-5d43-8f0e-3c3d2f1f2a78"),
            choices=(Choice.APPROVE, Choice.REJECT),
        ),
    ],
    waiting_total=2,
    asked=[replace(LIMIT, approval_id="7f0c9b5e-1c1e-5d43-8f0e-3c3d2f1f2a79")],
    running=[
        home.Running(
            run_id=RUN, status="running", question="How many refunds in October?", since=NOW
        )
    ],
    spending=[
        home.Spending(
            period=Period.DAY,
            used=Amounts(cost=4.21, tokens=812_000),
            budget=Budget(cost=5.0, tokens=2_000_000),
        ),
        home.Spending(period=Period.MONTH, used=Amounts(cost=31.5), budget=Budget(cost=120.0)),
    ],
)

MESSAGES: Mapping[str, Mapping[str, Any]] = {
    "card": cards.card(asked()),
    "card-two": cards.card(TWO),
    "card-critical": cards.card(CRITICAL),
    "card-limit": cards.card(LIMIT),
    "card-question": cards.card(QUESTION),
    "card-long": cards.card(LONG),
    "card-approved": cards.card(APPROVED),
    "card-edited": cards.card(EDITED),
    "card-rejected": cards.card(REJECTED),
    "card-responded": cards.card(RESPONDED),
    "card-expired": cards.card(EXPIRED),
    "card-cancelled": cards.card(CANCELLED),
    "working": answers.working(RUN, ["Reads the question", "researcher searches the handbook"]),
    "under-answer": {
        "text": "answer",
        "blocks": answers.under_answer(RUN, SOURCES, stopped="max_tokens"),
    },
    "stranger": answers.how_to_get_in(user="U0NEW", team="T01", help_words="Ask it@example.com."),
}
VIEWS: Mapping[str, Mapping[str, Any]] = {
    "edit": modals.edit(asked(), OPENED),
    "edit-limit": modals.edit(LIMIT, OPENED),
    "edit-no-schema": modals.edit(CRITICAL, OPENED),
    "edit-long": modals.edit(LONG, OPENED),
    "reject": modals.reject(asked(), OPENED),
    "reject-limit": modals.reject(LIMIT, OPENED),
    "respond": modals.respond(asked(), OPENED),
    "respond-question": modals.respond(QUESTION, OPENED),
    "whole": modals.whole(LONG),
    "notice": modals.notice("Not decided", "It is decided already."),
    "home": home.view(HOME),
    "home-empty": home.view(home.Home(name="ruth", roles=["user"], now=NOW)),
}
