"""The audit log over HTTP, for operators: looked at, checked, taken away."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from server.audit.chain import Head
from server.audit.entry import Kind
from server.auth import OperatorDep
from server.errors import BadRequest
from server.serving import House
from server.wire import shapes

router = APIRouter(prefix="/audit", tags=["audit"])

Name = Annotated[str | None, Query(max_length=200)]


@router.get("")
async def list_(
    house: House,
    caller: OperatorDep,
    kind: Kind | None = None,
    who: Name = None,
    tool: Name = None,
    run_id: Name = None,
    thread_id: Name = None,
    approval_id: Name = None,
    limit: Annotated[int, Query(ge=1, le=1_000)] = 50,
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> dict[str, Any]:
    """Entries that fit, the newest first; `before` a `seq` gives the next page."""
    given = {
        "kind": kind.value if kind else None,
        "who": who,
        "tool": tool,
        "run_id": run_id,
        "thread_id": thread_id,
        "approval_id": approval_id,
    }
    where = {name: value for name, value in given.items() if value is not None}
    found = await house.audit.latest(caller.tenant, limit=limit, before=before, where=where)
    head = await house.audit.head(caller.tenant)
    return {
        "items": [one.shown() for one in found],
        "total": head.seq,
        "head": {"seq": head.seq, "hash": head.hash},
    }


@router.get("/verify")
async def verify(
    house: House,
    caller: OperatorDep,
    seq: Annotated[int | None, Query(ge=1, le=2**53)] = None,
    hash: Annotated[str | None, Query(pattern=r"^[0-9a-f]{64}$")] = None,  # noqa: A002
) -> dict[str, Any]:
    """Check every entry; with `seq` and `hash` also against one that was noted earlier.

    A log that was rewritten from end to end is found out only by such a note.
    """
    if (seq is None) != (hash is None):
        raise BadRequest("seq, hash: give both, as they were noted, or none", param="seq")
    noted = Head(seq=seq, hash=hash) if seq is not None and hash is not None else None
    found = await house.audit.verify(caller.tenant, expected=noted)
    return {
        "ok": found.whole,
        "entries": found.entries,
        "head": {"seq": found.head.seq, "hash": found.head.hash},
        "problems": [{"seq": one.seq, "what": one.what} for one in found.faults],
    }


@router.get("/export", responses=shapes.told(media=shapes.LINES))
async def export(
    house: House, caller: OperatorDep, after: Annotated[int, Query(ge=0, le=2**53)] = 0
) -> Response:
    """All entries behind `after`, the oldest first, one JSON object a line."""

    async def lines() -> AsyncGenerator[bytes, None]:
        async for one in house.audit.entries(caller.tenant, after=after):
            yield orjson.dumps(one.shown()) + b"\n"

    return StreamingResponse(lines(), media_type="application/x-ndjson")
