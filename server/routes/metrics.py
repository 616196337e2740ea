"""What Prometheus reads."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from server.auth import OperatorDep
from server.serving import House

PATH = "/metrics"

router = APIRouter(tags=["server"])

_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All metrics in Prometheus's text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


@router.get(PATH, response_class=Response, responses=_ANSWER)
async def metrics(house: House, caller: OperatorDep) -> Response:
    """Metrics of this process, and of the queue that all share, for an operator.

    Without keys, a server on loopback asks for none.
    """
    del caller
    return Response(await house.scrape.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
