"""People's decisions as a run's tools ask for them: used up in the approval queue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from redis.exceptions import ConnectionError as RedisConnectionError

from graphs.permits import Permit
from guardrails.arguments import digest
from server.approvals.record import Approval, UnconfirmedDecisionError
from server.runs.record import RunRecord


class Consuming(Protocol):
    """What this needs of the approval queue."""

    async def consume(
        self, *, run_id: str, tool: str, args_sha256: str, call_id: str, fence: str
    ) -> Approval | None: ...

    async def remembered(self, *, run_id: str, tool: str, args_sha256: str) -> bool: ...


class QueuePermits:
    """The decisions of one attempt at a run; see ``graphs.permits.Permits``."""

    def __init__(self, approvals: Consuming, record: RunRecord) -> None:
        self._approvals = approvals
        self._fence = record.fence if record.token else ""
        # A run that answers another one's questions finds them there until they are handed over.
        self._runs = [one for one in (record.run_id, record.asked.answers) if one]

    async def consume(self, tool: str, args: Mapping[str, Any], *, call_id: str) -> Permit | None:
        """Raises FencedError, and RedisError where it may not outlive a crash that it is used."""
        sha = digest(tool, args)
        for run_id in [*self._runs, *self._runs[:-1]]:
            try:
                found = await self._approvals.consume(
                    run_id=run_id, tool=tool, args_sha256=sha, call_id=call_id, fence=self._fence
                )
            except UnconfirmedDecisionError as error:
                raise RedisConnectionError(str(error)) from error
            if found is not None:
                return Permit(approval_id=found.approval_id)
        return None

    async def remembered(self, tool: str, args: Mapping[str, Any]) -> bool:
        sha = digest(tool, args)
        for run_id in self._runs:
            if await self._approvals.remembered(run_id=run_id, tool=tool, args_sha256=sha):
                return True
        return False
