"""Slack opened: what comes in is taken, what is owed is done, until the context is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis
from slack_bolt.adapter.starlette.async_handler import to_async_bolt_request, to_starlette_response
from slack_bolt.async_app import AsyncApp
from slack_sdk.signature import SignatureVerifier
from starlette.requests import Request
from starlette.responses import Response

from graphs.keys import Keys
from server import patience
from server.approvals.service import Approvals
from server.artifacts.store import ThreadFiles
from server.audit.log import Audit
from server.runs.durability import Durability
from server.runs.feedback import Feedbacks
from server.runs.record import RunRecord
from server.runs.service import Runs
from server.settings import Settings
from server.slack import acting, connecting, shaped, web
from server.slack.asking import Asking
from server.slack.context import Place, SlackContext
from server.slack.downloads import Downloads
from server.slack.identities import Identities
from server.slack.links import Links
from server.slack.message import PACE_SECONDS
from server.slack.owed import LEASE_SECONDS, Owed
from server.slack.receiving import Receiving, bolt_app
from server.slack.refusals import UnreadableError, UnsignedError
from server.slack.telling import Telling
from server.slack.tending import Tender, tending
from server.threads.records import RedisThreads

AT_ONCE = 256
"""Replies that one process tells at the same time."""


@dataclass(frozen=True, kw_only=True)
class Deciding:
    """What decides approvals in Slack: ``register`` listens, ``waits`` shows what a paused run
    waits for (and may be told twice of one pause), ``watching`` keeps in the background what is
    shown as it is in the queue."""

    register: Callable[[AsyncApp, SlackContext], None]
    waits: Callable[[SlackContext, Place, RunRecord], Awaitable[None]]
    watching: Callable[[SlackContext], AbstractAsyncContextManager[None]]


class Slack:
    """Slack, for the route that its requests come to."""

    def __init__(self, app: AsyncApp, context: SlackContext) -> None:
        self._app = app
        secret = context.settings.slack_signing_secret
        self._verifier = SignatureVerifier(secret.get_secret_value()) if secret else None
        self.context = context

    @property
    def has_http(self) -> bool:
        """Whether requests can be verified."""
        return self._verifier is not None

    async def handle(self, request: Request) -> Response:
        """One request, verified and acknowledged. Raises UnsignedError, UnreadableError."""
        body = await request.body()
        # Bolt looks into a request before it verifies it; nobody else's is to come so far.
        if self._verifier is None or not self._verifier.is_valid_request(body, request.headers):
            raise UnsignedError
        try:
            read = to_async_bolt_request(request, body)
            shaped.check(read.body)
        except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise UnreadableError(f"{type(error).__name__}: {error}") from error
        return to_starlette_response(await self._app.async_dispatch(read))


@asynccontextmanager
async def opened(
    settings: Settings,
    *,
    redis: Redis,
    keys: Keys,
    approvals: Approvals,
    runs: Runs,
    threads: RedisThreads,
    files: ThreadFiles,
    audit: Audit,
    feedback: Feedbacks,
    durability: Durability | None = None,
    deciding: Deciding | None = None,
    pace_seconds: float = PACE_SECONDS,
    lease_seconds: float = LEASE_SECONDS,
) -> AsyncIterator[Slack]:
    """Slack, by the tokens of the settings; it need not be reachable now.

    ``durability`` says what has to have an event before Slack is told that it was taken.
    """
    token = settings.slack_bot_token
    assert token is not None
    events = Owed(redis, keys, name="event", lease_seconds=lease_seconds)
    replies = Owed(redis, keys, name="reply", lease_seconds=lease_seconds)
    if settings.redis_url is None:
        # Nobody else is there, so that who had something has died with it.
        await events.take_over()
        await replies.take_over()
    async with AsyncExitStack() as stack:
        calls = await stack.enter_async_context(web.opened(settings))
        context = SlackContext(
            settings=settings,
            redis=redis,
            keys=keys,
            web=calls,
            identities=Identities(settings, calls),
            links=Links(redis, keys),
            approvals=approvals,
            runs=runs,
            threads=threads,
            files=files,
            audit=audit,
        )
        telling = Telling(
            context,
            owed=replies,
            waits=None if deciding is None else partial(deciding.waits, context),
            pace_seconds=pace_seconds,
        )
        answering = Tender(replies, telling, what="reply", at_once=AT_ONCE)
        downloads = Downloads(
            token=token.get_secret_value(),
            api_url=settings.slack_api_url,
            max_bytes=settings.slack_max_file_bytes,
        )
        asking = Asking(context, replies=replies, downloads=downloads, hurry=answering.hurry)
        taking = Tender(events, asking, what="event")
        receiving = Receiving(
            events, durability=durability or Durability(redis), hurry=taking.hurry
        )
        app = bolt_app(settings, calls, receiving)
        acting.register(app, context, feedback=feedback)
        if deciding is not None:
            deciding.register(app, context)
            await stack.enter_async_context(deciding.watching(context))
        await stack.enter_async_context(_knowing(calls))
        await stack.enter_async_context(tending(taking, answering))
        if settings.slack_app_token is not None:
            app_token = settings.slack_app_token.get_secret_value()
            await stack.enter_async_context(connecting.connected(app, app_token))
        yield Slack(app, context)


@asynccontextmanager
async def _knowing(calls: web.Web) -> AsyncIterator[None]:
    """Ask in the background which app this is: nobody has to wait for it."""
    task = asyncio.create_task(web.patient_me(calls), name="slack auth.test")
    try:
        yield
    finally:
        await patience.over(task)
