"""What somebody is told who waits for an answer and whose run waits for a person. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from guardrails.arguments import canonical
from server.approvals.record import Approval, Kind
from server.wire.printable import short

WAITING = "waiting"
"""The stop reason of such an answer."""


def words(approvals: Sequence[Approval], *, run_id: str, thread_id: str) -> str:
    """What waits for approval, and how it goes on; this wire knows no threads to come back to."""
    limit = next((one for one in approvals if one.kind is Kind.LIMIT), None)
    if limit is not None:
        return (
            f"{limit.context['answer']}\n\nAn operator may raise the limit (approval "
            f"{limit.approval_id}, at /console/approvals); the run goes on by itself then, in "
            f"thread {thread_id}, and its answer will be at "
            f"GET /threads/{thread_id}/runs/{run_id}/join."
        )
    lines = [f"- {_call(one)} (approval {one.approval_id})" for one in approvals]
    waits = "\n".join(lines) or "- a question of the graph's own"
    return (
        f"I cannot go on before a person has decided:\n{waits}\n\n"
        "An operator decides at /console/approvals, with `counterpoint approvals`, or by "
        "POST /approvals/ID/decision. The run goes on by itself then. This conversation does not "
        f"hear of it, and another message begins another run; the answer will be in thread "
        f"{thread_id}, at GET /threads/{thread_id}/runs/{run_id}/join."
    )


def _call(one: Approval) -> str:
    return f"{one.tool} {short(canonical(one.args))}" + (
        f", because {short(one.reason)}" if one.reason else ""
    )
