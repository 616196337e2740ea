"""From a run's pause to requests in the approval queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from graphs import approving, dialects, events, team
from graphs.dialects import Dialect, Reading, Requested
from guardrails import arguments, policy
from guardrails.policy import Choice, Decision, OnExpiry, Terms
from server.approvals.record import Approval, Kind, NewApproval
from server.runs.record import RunRecord

# A graph of one's own waits for whoever started it, as long as it takes, as LangGraph has it.
_OPEN_TERMS = Terms(
    expires_seconds=366 * 24 * 3600.0,
    roles=frozenset({"user", "operator"}),
    self_approval=True,
)


class Requests(Protocol):
    """Where requests to people go."""

    async def request(self, new: Sequence[NewApproval], *, fence: str) -> Sequence[Approval]: ...


class Pauses:
    """What a worker does before a run becomes paused; may be done again."""

    def __init__(self, approvals: Requests, *, rules: Sequence[policy.Rule] = ()) -> None:
        self._approvals = approvals
        self._rules = rules

    async def __call__(self, record: RunRecord, paused: events.RunInterrupted) -> None:
        """Ask people what the run asks. Raises FencedError, RedisError."""
        if new := requests(record, paused, rules=self._rules):
            await self._approvals.request(new, fence=record.fence)


def requests(
    record: RunRecord, paused: events.RunInterrupted, *, rules: Sequence[policy.Rule] = ()
) -> list[NewApproval]:
    """What a pause asks of people, in the order of its interrupts."""
    found: list[NewApproval] = []
    for one in paused.interrupts:
        reading = dialects.read(one.value, response_schema=one.response_schema)
        ours = one.value.get(approving.OURS) if isinstance(one.value, Mapping) else None
        known = ours if record.asked.graph == team.TEAM and isinstance(ours, Mapping) else None
        for index, asked in enumerate(reading.requests):
            place = {"interrupt_id": one.id, "index": index, "of": len(reading.requests)}
            if known is not None:
                found.append(_ours(record, asked, known, place))
            else:
                found.append(_theirs(record, asked, reading, place, rules=rules))
    return found


def reading_of(approvals: Sequence[Approval]) -> Reading:
    """The question that these approvals, all of one interrupt and in order, are of."""
    return Reading(
        dialect=Dialect(approvals[0].dialect),
        requests=tuple(
            Requested(
                tool=one.tool,
                args=one.args,
                description=one.description,
                choices=one.terms.choices,
                schema=one.schema,
            )
            for one in approvals
        ),
    )


def terms_of(written: Mapping[str, Any]) -> Terms:
    """The reverse of ``graphs.approving.written``."""
    return Terms(
        expires_seconds=float(written["expires_seconds"]),
        on_expiry=OnExpiry(written["on_expiry"]),
        roles=frozenset(written["roles"]),
        quorum=int(written["quorum"]),
        self_approval=bool(written["self_approval"]),
        choices=frozenset(Choice(one) for one in written["choices"]),
        remember=bool(written["remember"]),
        critical=bool(written["critical"]),
    )


def _ours(
    record: RunRecord, asked: Requested, ours: Mapping[str, Any], place: Mapping[str, Any]
) -> NewApproval:
    return NewApproval(
        run_id=record.run_id,
        thread_id=record.thread_id,
        tenant=record.tenant,
        kind=Kind(ours.get("kind", Kind.TOOL)),
        dialect=Dialect.HITL.value,
        agent=str(ours["agent"]),
        tool=asked.tool,
        args=asked.args,
        description=asked.description,
        requested_by=record.asked.user,
        requester_roles=tuple(record.asked.roles),
        rule=str(ours["rule"]),
        reason=str(ours["reason"]),
        call_id=str(ours.get("call_id", "")),
        terms=terms_of(ours["terms"]),
        schema=asked.schema,
        context={**ours["context"], "effect": ours.get("effect", "")},
        **place,
    )


def _theirs(
    record: RunRecord,
    asked: Requested,
    reading: Reading,
    place: Mapping[str, Any],
    *,
    rules: Sequence[policy.Rule],
) -> NewApproval:
    """A question of a graph of one's own. A rule that asks about such a call gives its terms."""
    is_bare = reading.dialect is Dialect.BARE
    args = asked.args if _is_plain(asked.tool, asked.args) else {}
    verdict = policy.decide(
        rules,
        policy.Call(
            tool=asked.tool,
            args=args,
            agent=record.asked.graph,
            tenant=record.tenant,
            roles=frozenset(record.asked.roles),
        ),
    )
    asks = verdict.decision is Decision.ASK and not is_bare
    terms = verdict.terms if asks else _OPEN_TERMS
    choices = terms.choices & asked.choices or asked.choices
    return NewApproval(
        run_id=record.run_id,
        thread_id=record.thread_id,
        tenant=record.tenant,
        kind=Kind.INTERRUPT,
        dialect=reading.dialect.value,
        agent=record.asked.graph,
        tool=asked.tool,
        args=args,
        description=asked.description,
        requested_by=record.asked.user,
        requester_roles=tuple(record.asked.roles),
        rule=verdict.name if asks else "",
        reason=verdict.reason if asks else "",
        call_id=asked.call_id,
        terms=replace(terms, choices=choices),
        schema=asked.schema,
        context={"question": _last_said(record)},
        **place,
    )


def _is_plain(tool: str, args: Mapping[str, Any]) -> bool:
    try:
        arguments.digest(tool, args)
    except arguments.ArgumentsError:
        return False
    return True


def _last_said(record: RunRecord) -> str:
    said = list(record.asked.messages)[-1:]
    content = said[0].get("content") if said else None
    return content if isinstance(content, str) else ""
