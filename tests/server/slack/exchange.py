"""An exchange in Slack, as it really goes: asked, paused, edited and approved, answered.

Everything is real but the model, whose part is a script, and Slack, whose part is the double.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphs import approving, events
from graphs.event_log import EventLog
from guardrails.arguments import digest
from guardrails.policy import Choice, Terms
from server.pauses import Pauses
from server.runs.emitter import Emit
from server.runs.record import RunRecord
from server.runs.worker import Outcome, RunWorker
from server.slack import cards
from server.slack.cards import Reference
from tests.server.slack import events as sent
from tests.server.slack.messages import Message
from tests.server.slack.office import ANN, CHANNEL, OLGA, THREAD, Office, typed_of
from tests.server.slack.scenes import ARGS, SCHEMA, SOURCES

QUESTION = (
    "Ms Brandt wants her money back for order A-7. What do our rules say? Please refund what she "
    "is owed."
)
ANSWER = (
    "Ms Brandt is inside the return window: annual plans and hardware can be returned within **30 "
    "days** [1], and she pays the way back [2].\n\nI have refunded **90.50 EUR** for the keyboard "
    "of order A-7; the rest had been used and stays."
)
TYPED = {"amount": "90.5", "note": "Only the keyboard; the rest was used."}
WRONG = {"amount": "-90.5"}


@dataclass(kw_only=True)
class Exchange:
    """What was to be seen, in order: the thread at each stop, a dialog, the home tab."""

    paused: Sequence[Message] = ()
    dialog: Mapping[str, Any] = field(default_factory=dict)
    refused: Mapping[str, Any] = field(default_factory=dict)
    answered: Sequence[Message] = ()
    home: Mapping[str, Any] = field(default_factory=dict)


class Script:
    """The team: searches, wants to refund, and answers once that was decided."""

    async def __call__(self, record: RunRecord, emit: Emit, /) -> Outcome:
        if not record.resumes:
            for event in _work():
                emit(event)
            return events.RunInterrupted(
                interrupts=[events.Interrupt(id="refund-1", value=_question(record))],
                usage=events.Usage(),
            )
        return events.RunFinished(
            answer=ANSWER,
            sources=[
                events.Source.model_validate(
                    {"document_id": f"d{at}", "chunk_id": f"d{at}#0", "source": "", **one}
                )
                for at, one in enumerate(SOURCES)
            ],
            stop_reason="answered",
            usage=events.Usage(model_calls=4, input_tokens=6_012, output_tokens=511, cost=0.021),
        )


async def played(office: Office) -> Exchange:
    """Play it through."""
    found = Exchange()
    desk = office.desk
    async with (
        RunWorker(
            records=desk.records,
            log=EventLog(desk.redis, desk.keys),
            queue=desk.queue,
            executor=Script(),
            grace_seconds=0,
            on_pause=Pauses(desk.approvals),
        ),
        office.server(),
    ):
        await office.send(sent.mention(f"<@U0BOT> {QUESTION}", user=ANN, ts=THREAD))
        await office.slack.until(lambda: _has(office, cards.APPROVE))
        await office.slack.until(lambda: "coder: Refund" in str(_thread(office)))
        (one,), _ = await desk.approvals.list("default")
        await office.send(sent.home_opened(user=OLGA))
        await office.slack.until(lambda: office.slack.of("views.publish"))
        found.home = _view(office.slack.of("views.publish")[-1])
        found.paused = _thread(office)
        await office.click(cards.EDIT, f"{Reference.of(one)}", user=OLGA)
        found.dialog = await office.opened()
        wrong = typed_of(found.dialog, **WRONG)
        found.refused = await office.submit(found.dialog, user=OLGA, typed=wrong)
        await office.submit(found.dialog, user=OLGA, typed=typed_of(found.dialog, **TYPED))
        await office.slack.until(lambda: _has(office, "Approved with changes"))
        await office.slack.until(lambda: _has(office, "answer_feedback"))
        found.answered = _thread(office)
    return found


def _thread(office: Office) -> list[Message]:
    return [_copied(one) for one in office.slack.said(CHANNEL, THREAD)]


def _copied(one: Message) -> Message:
    return Message(**{**vars(one), "blocks": list(one.blocks), "chunks": list(one.chunks)})


def _has(office: Office, words: str) -> bool:
    return words in str([one.blocks for one in office.slack.said(CHANNEL, THREAD)])


def _view(body: Mapping[str, Any]) -> Mapping[str, Any]:
    view = body["view"]
    return dict(json.loads(view) if isinstance(view, str) else view)


def _work() -> list[events.RunEvent]:
    return [
        events.AgentStarted(
            agent="researcher", task_id="1", instruction="What do the rules say about returns?"
        ),
        events.ToolStarted(
            agent="researcher",
            task_id="1",
            call_id="c1",
            tool="search_documents",
            args={"query": "return window annual plan hardware"},
        ),
        events.AgentStarted(agent="coder", task_id="2", instruction="Refund what she is owed"),
    ]


def _question(record: RunRecord) -> dict[str, Any]:
    """As ``graphs.approving.question`` has it."""
    words = "Refunds above 100 are looked at by a person"
    return {
        "action_requests": [{"name": "refund", "args": ARGS, "description": words}],
        "review_configs": [
            {
                "action_name": "refund",
                "allowed_decisions": [one.value for one in Choice],
                "args_schema": SCHEMA,
            }
        ],
        approving.OURS: {
            "kind": "tool",
            "agent": "coder",
            "task_id": "2",
            "call_id": "c2",
            "run_id": record.run_id,
            "rule": "ask for refund when amount > 100",
            "reason": words,
            "effect": "write",
            "terms": approving.written(Terms()),
            "args_sha256": digest("refund", ARGS),
            "requested_by": record.asked.user,
            "context": {
                "question": "Refund what she is owed",
                "evidence": [{"title": "Plans and refunds", "page": 4}],
                "usage": {
                    "model_calls": 3,
                    "input_tokens": 5_210,
                    "output_tokens": 402,
                    "cost": 0.0184,
                },
            },
        },
    }
