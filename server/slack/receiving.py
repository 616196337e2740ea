"""What Slack sends, by HTTP or Socket Mode: verified, stored, acknowledged; worked on later."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from server.runs.durability import Durability, UnconfirmedError
from server.slack import reading, shaped
from server.slack.owed import Owed
from server.slack.web import Web, quiet
from server.slack_section import SlackSettings

HOME_OPENED = "app_home_opened"
"""The one event that is answered at once, and lost if this process dies: it comes again."""

_log = logging.getLogger(__name__)


class Receiving:
    """Puts events down, once each; what is no event goes on to those who listen."""

    def __init__(self, events: Owed, *, durability: Durability, hurry: Callable[[], None]) -> None:
        self._events = events
        self._durability = durability
        self._hurry = hurry

    async def __call__(
        self, body: Mapping[str, Any], next_: Callable[[], Awaitable[Any]]
    ) -> BoltResponse | None:
        """A middleware of Bolt's: replies only where nobody else is to be asked."""
        if body.get("type") != "event_callback":
            await next_()
            return None
        event = body.get("event")
        kind = event.get("type") if isinstance(event, Mapping) else None
        if kind == HOME_OPENED:
            await next_()
            return None
        if kind in reading.KINDS and not isinstance(reading.read(body), reading.Nothing):
            try:
                await self._put_down(body)
            except (RedisError, OSError, UnconfirmedError) as error:
                # Not acknowledged, so that Slack sends it again.
                _log.warning("an event of Slack's cannot be stored: %s", error)
                return BoltResponse(status=503, body="")
        return BoltResponse(status=200, body="")

    async def _put_down(self, body: Mapping[str, Any]) -> None:
        event_id = str(body.get("event_id") or "")
        if not event_id:
            _log.warning("an event of Slack's has no id")
            return
        kept = {
            name: body[name]
            for name in ("team_id", "event_id", "event", "authorizations")
            if name in body
        }
        lane = reading.lane_of(body)

        async def write(one: Redis) -> bool:
            return await self._events.add(event_id, kept, lane=lane, client=one)

        async def then(is_new: bool) -> None:  # noqa: FBT001 - what was replied
            if is_new:
                self._hurry()

        await self._durability.confirmed(write, then=then)


def bolt_app(settings: SlackSettings, web: Web, receiving: Receiving) -> AsyncApp:
    """Bolt, which verifies signatures and finds who listens. It calls Slack for nothing itself."""
    token, secret = settings.slack_bot_token, settings.slack_signing_secret
    assert token is not None
    client = web.client

    async def authorized(team_id: str | None, enterprise_id: str | None) -> AuthorizeResult:
        """From what is known already: nothing is asked while Slack waits for its answer."""
        me = web.known
        return AuthorizeResult(
            enterprise_id=enterprise_id,
            team_id=team_id,
            bot_token=token.get_secret_value(),
            bot_user_id=me.user if me else None,
            bot_id=me.bot if me else None,
        )

    app = AsyncApp(
        name="counterpoint",
        logger=quiet(),
        signing_secret=secret.get_secret_value() if secret else None,
        request_verification_enabled=True,
        authorize=authorized,
        client=AsyncWebClient(
            base_url=client.base_url,
            timeout=client.timeout,
            session=client.session,
            retry_handlers=[],
            logger=quiet(),
        ),
    )

    @app.middleware
    async def put_down(
        req: AsyncBoltRequest,
        next: Callable[[], Awaitable[Any]],  # noqa: A002 - Bolt's name
    ) -> BoltResponse | None:
        req.body = shaped.cleaned(req.body)
        return await receiving(req.body, next)

    return app
