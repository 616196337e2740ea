"""One person's decision: checked, stored by one script with its audit line, confirmed on disk."""

from __future__ import annotations

import hashlib
from typing import Any

from redis.asyncio import Redis

from server.approvals import allowed, stored
from server.approvals.allowed import Checked, Judge, Said
from server.approvals.endings import Endings, highest_role, too_late
from server.approvals.record import (
    Approval,
    ApprovalNotFoundError,
    ApprovalStatus,
    InvalidDecisionError,
    NotAllowedError,
    StaleArgumentsError,
    UnconfirmedDecisionError,
)
from server.approvals.store import ApprovalStore, Word, line_of
from server.audit.entry import Kind as Told
from server.audit.entry import Line
from server.audit.log import words
from server.auth import Caller
from server.runs.durability import Durability, UnconfirmedError

_TRIES = 50


class Decider:
    """Takes decisions; resuming the run is somebody else's."""

    def __init__(
        self,
        store: ApprovalStore,
        *,
        endings: Endings,
        judge: Judge | None,
        durability: Durability,
    ) -> None:
        self._store = store
        self._endings = endings
        self._judge = judge
        self._durability = durability

    async def decide(
        self,
        approval_id: str,
        said: Said,
        *,
        tenant: str,
        caller: Caller,
        key: str | None,
        via: str,
        later_seconds: float,
    ) -> tuple[Approval, bool]:
        """The approval as it stands then, and whether its run is still to hear of it.

        Raises ApprovalError.
        """
        for _ in range(_TRIES):
            one = await self._store.get(approval_id, tenant=tenant)
            allowed.check_roles(caller, one.terms, approval_id=approval_id)
            try:
                check = allowed.checked(one, said, caller=caller, judge=self._judge)
            except (InvalidDecisionError, NotAllowedError):
                if one.status is ApprovalStatus.PENDING:
                    raise
                # Too late in any case, which is what the caller has to hear.
                check = Checked(said=said, sha="")
            done = await self._write(
                one, check, caller=caller, key=key, via=via, later_seconds=later_seconds
            )
            # Somebody else decided since it was read: each time round, one of a few did.
            if done.word != "again":
                return await self._told(one, done, caller=caller)
        raise UnconfirmedDecisionError(f"approval {approval_id} changes all the time; try again")

    async def _write(
        self,
        one: Approval,
        check: Checked,
        *,
        caller: Caller,
        key: str | None,
        via: str,
        later_seconds: float,
    ) -> Word:
        said = check.said
        line = Line(
            kind=Told.DECIDED,
            who=caller.name,
            role=highest_role(caller),
            via=via,
            approval_id=one.approval_id,
            choice=said.choice.value,
            message=said.message or "",
            args_before=one.final_args,
            args_after=check.args if check.args is not None else one.final_args,
            args_sha256=check.sha,
            **line_of(one),
        )

        async def write(client: Redis) -> Word:
            return await self._store.decide(
                one.approval_id,
                self._store.keys.quoted(one.tenant),
                caller.name,
                stored.framed(caller.roles),
                said.choice.value,
                said.args_sha256 or "",
                check.sha,
                stored.text(check.args) if check.args is not None else "",
                _decision(check, caller=caller, via=via),
                check.request,
                hashlib.sha256(key.encode()).hexdigest()[:32] if key else "",
                one.revision,
                check.terms.quorum if check.terms else 1,
                round(later_seconds * 1_000_000),
                *words(line),
                _roles(one, check),
                int(check.terms is None or check.terms.self_approval),
                client=client,
            )

        try:
            return await self._durability.confirmed(write, then=nothing)
        except UnconfirmedError as error:
            raise UnconfirmedDecisionError(
                f"the decision on {one.approval_id} may or may not outlive a crash: {error}; send "
                "the same again to find out"
            ) from error

    async def _told(self, one: Approval, done: Word, *, caller: Caller) -> tuple[Approval, bool]:
        """What came of it. Raises an ApprovalError."""
        named = one.approval_id
        match done.word:
            case "missing":
                raise ApprovalNotFoundError(f"no approval {named}")
            case "self":
                raise NotAllowedError(
                    f"{caller.name!r} asked for this, so somebody else has to decide it; rejecting "
                    "it is open (self_approval in the rule of the policy allows more)"
                )
            case "role":
                raise NotAllowedError(f"the key {caller.name!r} may not decide approval {named}")
            case "reused":
                raise InvalidDecisionError(
                    "Idempotency-Key: it was sent with another decision before; use a new one",
                    field="Idempotency-Key",
                )
            case "over":
                await self._endings.cancel(one, why=done.text)
            case "late":
                await self._endings.expire(one)
        now = await self._store.get(named, tenant=one.tenant)
        match done.word:
            case "same" | "more" | "ended":
                # Also for who says it again: the first time may have died before the run was told.
                return now, now.status is not ApprovalStatus.PENDING and now.resumed_at is None
            case "stale":
                raise StaleArgumentsError(
                    "args_sha256: the arguments are not those that you looked at; look again and "
                    f"send {now.args_sha256}",
                    current=now,
                )
            case _:
                raise too_late(now)


def _decision(check: Checked, *, caller: Caller, via: str) -> str:
    told: dict[str, Any] = {
        "decider": caller.name,
        "choice": check.said.choice.value,
        "via": via,
        "args": check.args,
        "args_sha256": check.sha,
        "message": check.said.message,
    }
    if check.said.has_raw:
        told["raw"] = check.said.raw
    return stored.decision(told)


def _roles(one: Approval, check: Checked) -> str:
    """Who decides after an edit, as scripts read it: who may by the old rule and by the new one,
    or where that is nobody, by the new one."""
    if check.terms is None:
        return ""
    return stored.framed(one.terms.roles & check.terms.roles or check.terms.roles)


async def nothing(_: object) -> None:
    """What follows from a write that has to be confirmed first."""
