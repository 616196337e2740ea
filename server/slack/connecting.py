"""Socket Mode: connected to Slack in the background, and again whenever that is lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk.errors import SlackApiError, SlackClientError

from server import patience
from server.slack import web

AGAIN_SECONDS = 5.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def connected(app: AsyncApp, app_token: str) -> AsyncIterator[None]:
    """Connected until the context is left; Slack need not be reachable now."""
    handler = AsyncSocketModeHandler(app, app_token, logger=web.quiet())
    client = cast("Any", handler.client)
    client.aiohttp_client_session = _Ticketed(client, client.aiohttp_client_session)
    task = asyncio.create_task(client.connect(), name="slack socket mode")
    try:
        yield
    finally:
        await patience.over(task)
        await client.close()


class _Ticketed:
    """A session that asks for another address where one did not lead to Slack.

    An address holds a ticket, which is for one connection and a short time: the SDK tries the same
    one for ever, and writes it into the log.
    """

    def __init__(self, client: Any, session: aiohttp.ClientSession) -> None:
        self._client = client
        self._session = session

    @property
    def closed(self) -> bool:
        return self._session.closed

    async def ws_connect(self, url: str, **given: Any) -> Any:
        while True:
            try:
                return await self._session.ws_connect(url, **given)
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.warning("Slack's Socket Mode cannot be reached: %s", _why(error))
            url = await self._another()

    async def close(self) -> None:
        await self._session.close()

    async def _another(self) -> str:
        while True:
            await asyncio.sleep(AGAIN_SECONDS)
            try:
                return str(await self._client.issue_new_wss_url())
            except (SlackClientError, aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.warning("Slack's Socket Mode gives no address: %s", _why(error))


def _why(error: Exception) -> str:
    """What went wrong, without the address that some errors name."""
    if isinstance(error, SlackApiError):
        return str(error.response.get("error") or type(error).__name__)
    status = getattr(error, "status", None)
    return f"{type(error).__name__} {status}" if status else type(error).__name__
