"""Where Slack sends events, clicks and dialogs; and what people think of answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import Response

from server.auth import CallerDep
from server.errors import Invalid, NotFound, Unauthorized
from server.serving import House
from server.slack.refusals import UnreadableError, UnsignedError
from server.wire import shapes
from server.wire.shapes import told

if TYPE_CHECKING:
    # Slack's own library is large, looks for a home folder as it loads, and most have no Slack.
    from server.slack.opening import Slack

PATH = "/slack/events"
FORM = "application/x-www-form-urlencoded"
LARGEST = 1_000_000
_STAMP = re.compile(r"[0-9]{1,12}")

router = APIRouter(tags=["runs"])


@router.post(PATH, include_in_schema=False)
async def events(request: Request, house: House) -> Response:
    """Everything that Slack sends by HTTP. Nobody needs a key: Slack signs."""
    slack = house.slack
    if slack is None or not slack.has_http:
        raise NotFound(f"{PATH}: no Slack app is set up here; see docs/slack.md")
    return await take(slack, request)


async def take(slack: Slack, request: Request) -> Response:
    """What ``slack`` answers to a request that Slack signed. Raises Unauthorized, Invalid."""
    stamp = request.headers.get("x-slack-request-timestamp", "")
    signature = request.headers.get("x-slack-signature", "")
    body = await request.body()
    try:
        # What the verifier would stumble over; whether it is Slack's, it says.
        if not _STAMP.fullmatch(stamp) or not signature.isascii() or not _is_text(body):
            raise UnsignedError
        return await slack.handle(request)
    except UnsignedError:
        raise Unauthorized(f"{PATH}: this request is not signed by Slack") from None
    except UnreadableError as error:
        raise Invalid(f"body: it has no shape of Slack's ({error})", param="body") from None


@router.get("/runs/{run_id}/feedback", responses=told(answer=shapes.Feedbacks))
async def feedback(run_id: UUID, house: House, caller: CallerDep) -> dict[str, Any]:
    """What people said of a run's answer, for 90 days: 1 for good, -1 for bad."""
    await house.runs.get(str(run_id), tenant=caller.tenant)
    return {
        "items": [
            {"by": one.by, "score": one.score, "via": one.via, "at": one.at.isoformat()}
            for one in await house.feedback.of_run(str(run_id))
        ]
    }


def _is_text(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
