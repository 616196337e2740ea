"""What became of the webhooks of a run, and what they are signed with."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter

from server.auth import CallerDep, OperatorDep
from server.serving import House
from server.webhooks import signing
from server.webhooks.deliveries import Delivery
from server.wire import shapes
from server.wire.shapes import told

router = APIRouter(tags=["webhooks"])


@router.get("/runs/{run_id}/webhooks", responses=told(answer=shapes.Deliveries))
async def of_run(run_id: UUID, house: House, caller: CallerDep) -> dict[str, Any]:
    """The messages that a run has sent or has to send, for a week after its end."""
    found = await house.webhooks.of_run(str(run_id))
    mine = [one for one in found if one.tenant == caller.tenant]
    if not mine:
        # Whether there is such a run; one that was taken back is told about all the same.
        await house.runs.get(str(run_id), tenant=caller.tenant)
    return {"items": [_shown(one) for one in mine]}


@router.get("/webhooks/secret")
async def secret(house: House, caller: OperatorDep) -> dict[str, str]:
    """What the caller's tenant checks signatures with; for operators."""
    return {"secret": signing.shown(await house.webhook_secrets.of(caller.tenant))}


def _shown(one: Delivery) -> dict[str, Any]:
    times = {"owed_at": one.owed_at, "tried_at": one.tried_at, "settled_at": one.settled_at}
    return {
        "webhook_id": one.delivery_id,
        "run_id": one.run_id,
        "url": one.url,
        "status": one.status,
        "state": one.state.value,
        "attempts": one.attempts,
        "response": one.response,
        "error": one.error,
        **{name: value.isoformat() if value else None for name, value in times.items()},
    }
