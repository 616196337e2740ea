"""The HTTP surface: routes, gates and errors put together over an open house."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import auth, body, documenting, errors, slashes
from server.routes import (
    admin,
    approvals,
    artifacts,
    assistants,
    audit,
    console,
    crons,
    documents,
    files,
    health,
    metrics,
    openai,
    passages,
    policy,
    protocol,
    reference,
    responses,
    runs,
    search,
    slack,
    stateless_runs,
    store,
    thread_runs,
    thread_state,
    threads,
    traces,
    webhooks,
)
from server.serving import Serving
from server.settings import LOOPBACK
from server.telemetry.origin import Origin
from server.telemetry.requests import RequestCounter
from server.wire.run_stream import Screens
from server.wire.sse import HEARTBEAT_SECONDS

REQUEST_BYTES = 8_000_000
# Files of one request together, in largest documents.
FILES_PER_REQUEST = 4
# What LangGraph's clients read in a browser.
EXPOSED = (
    "Content-Location",
    "Location",
    "X-Pagination-Next",
    "X-Pagination-Total",
    "X-Request-Id",
)

_log = logging.getLogger(__name__)


def build(house: Serving, *, heartbeat: float = HEARTBEAT_SECONDS) -> FastAPI:
    """The app over a house, which whoever opened it closes. ``heartbeat``: seconds in streams."""
    app = FastAPI(
        title="Counterpoint",
        summary="A team of agents that answers from your documents, with sources.",
        version=health.version("counterpoint"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.default = slashes.Elsewhere(app.router)
    app.state.serving = house
    app.state.heartbeat = heartbeat
    app.state.screens = Screens()
    app.state.started = int(time.time())
    for routes in (
        health,
        metrics,
        assistants,
        threads,
        thread_state,
        files,
        artifacts,
        crons,
        webhooks,
        runs,
        thread_runs,
        protocol,
        stateless_runs,
        traces,
        store,
        approvals,
        audit,
        openai,
        responses,
        documents,
        passages,
        search,
        admin,
        policy,
        slack,
        reference,
    ):
        # Not included: FastAPI would make each route anew for the app, at the first request.
        app.router.routes.extend(routes.router.routes)
    console.install(app)
    documenting.install(app)
    errors.install(app)
    largest = house.settings.max_document_bytes

    def limit_for(path: str, media_type: str) -> int:
        if path == documents.PATH and media_type == body.FILES:
            return largest * FILES_PER_REQUEST + REQUEST_BYTES
        if files.takes(path) and media_type == body.FILES:
            return house.settings.file_limits().thread_bytes + REQUEST_BYTES
        if path == slack.PATH and media_type in {body.JSON, slack.FORM}:
            return slack.LARGEST
        if media_type != body.JSON:
            return 0
        return largest + REQUEST_BYTES if path == documents.PATH else REQUEST_BYTES

    # The last one added is the first one reached.
    app.add_middleware(body.BodyGate, limit_for=limit_for)
    app.add_middleware(auth.Gate, settings=house.settings)
    app.add_middleware(LastResort)
    app.add_middleware(Origin)
    # Above all that may answer, so that refusals count as well.
    app.add_middleware(RequestCounter, metrics=house.scrape.metrics)
    # Outermost, so that a preflight needs no key and a page can read what went wrong.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=house.settings.cors_origins,
        allow_origin_regex=(auth.LOOPBACK_ORIGIN if house.settings.host in LOOPBACK else None),
        allow_methods=("*",),
        allow_headers=("*",),
        allow_private_network=True,
        expose_headers=EXPOSED,
    )
    return app


class LastResort:
    """Turns what nobody foresaw into a 500 that tells an id, and logs the rest under it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noted)
        except asyncio.CancelledError:
            # The server ends, and waits no longer.
            if not begun and scope["type"] == "http":
                fault: errors.Fault = errors.Unavailable(
                    "the server is stopping; send it again once it is back"
                )
                await errors.answer(fault, path=scope.get("path", ""))(scope, receive, send)
            raise
        except Exception:
            name = uuid.uuid4().hex[:12]
            path = scope.get("path", "")
            _log.exception("error %s in %s %s", name, scope.get("method", scope["type"]), path)
            if begun or scope["type"] != "http":
                raise
            fault = errors.Fault(
                f"an error inside the server; its log says more under error {name}"
            )
            await errors.answer(fault, path=path)(scope, receive, send)
