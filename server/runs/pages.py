"""A page of the runs that a walk over all of them comes by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, cast

from server.runs.record import RunRecord
from server.runs.transitions import RunStatus


async def page(
    walked: AsyncIterator[RunRecord],
    *,
    tenant: str | None,
    status: RunStatus | None,
    limit: int,
    offset: int,
) -> list[RunRecord]:
    """Those of a tenant and in a state, where these are given; no more are read than it takes."""
    found: list[RunRecord] = []
    async with aclosing(cast("Any", walked)):
        async for record in walked:
            if tenant in {None, record.tenant} and status in {None, record.status}:
                if offset > 0:
                    offset -= 1
                    continue
                if len(found) >= limit:
                    break
                found.append(record)
    return found
