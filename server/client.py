"""How commands reach a server: one by URL, the one of the data folder, or one of their own."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from pydantic import SecretStr

from models import outside
from models.progress import Progress
from server import lock
from server.exits import CommandFailed, Exit
from server.importing import uncollected
from server.part import Part
from server.settings import Settings
from tools.retrieval.remote_knowledge import TENANT_HEADER

READ_SECONDS = 60.0
"""Streams beat every five seconds; a silence as long as this is a dead line."""
_PROBE_SECONDS = 2.0
_BUSY_SECONDS = 600.0
_POLL_SECONDS = 0.2
_ENDS = frozenset({"run.finished", "run.failed"})
_RECONNECTS = 5


@asynccontextmanager
async def connect(
    settings: Settings, *, url: str | None, progress: Progress, runs: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the server at ``url``, of the live one of the data folder, or of our own.

    A server of our own runs in this process, and is closed at the end; without ``runs`` it has
    no chat model, which is not fetched either. Raises CommandFailed where ``url`` cannot be
    reached, and whatever `open_house` raises.
    """
    if url is not None:
        await _greet(url)
        async with _at(url, key=settings.api_key) as client:
            yield client
        return
    deadline = time.monotonic() + _BUSY_SECONDS
    waiting = False
    while True:
        live = lock.announced(settings.data_dir)
        if live is not None and await answers(live.url):
            async with _at(live.url, key=settings.api_key) as client:
                yield client
            return
        try:
            with lock.owned(settings.data_dir):
                pass
            break
        except lock.DataFolderBusy as busy:
            if time.monotonic() > deadline:
                raise
            if not waiting:
                progress.note(f"{busy.args[0]}. Waiting for it")
                waiting = True
        await asyncio.sleep(_POLL_SECONDS)
    async with _own(settings, progress=progress, runs=runs) as client:
        yield client


@asynccontextmanager
async def running(
    settings: Settings, *, url: str | None, tenant: str | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that is there already; ``tenant`` names another than the key's.

    Raises CommandFailed where there is none.
    """
    if url is None:
        live = lock.announced(settings.data_dir)
        if live is None or not await answers(live.url):
            raise CommandFailed(
                f"no server runs from {settings.data_dir}; start one with `counterpoint up`, or "
                "name one with --url",
                code=Exit.UNAVAILABLE,
            )
        url = live.url
    else:
        await _greet(url)
    async with _at(url, key=settings.api_key) as client:
        if tenant is not None:
            client.headers[TENANT_HEADER] = tenant
        yield client


@asynccontextmanager
async def _own(
    settings: Settings, *, progress: Progress, runs: bool
) -> AsyncIterator[httpx.AsyncClient]:
    # Late: where a server runs already, a command needs none of it.
    with uncollected():
        from server import app, house, logs, redis_server, serve

    # Nobody else reaches the socket, so that it needs no key.
    private = settings.model_copy(
        update={"api_key_sha256": frozenset(), "keys": (), "host": "127.0.0.1"}
    )
    lock.prepare(settings.data_dir)
    logs.configure_as_set(settings)
    short = redis_server.short_folder()
    with tempfile.TemporaryDirectory(prefix="counterpoint-", dir=short) as folder:
        path = Path(folder) / "api.sock"
        async with (
            house.open_house(
                private,
                progress=progress,
                part=Part.ALL if runs else Part.DOCUMENTS,
            ) as opened,
            serve.serving(app.build(opened), path=path),
            httpx.AsyncClient(
                transport=httpx.AsyncHTTPTransport(uds=str(path)),
                base_url="http://localhost",
                timeout=httpx.Timeout(10.0, read=READ_SECONDS),
            ) as client,
        ):
            yield client


def _at(url: str, *, key: SecretStr | None) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=url,
        headers={"x-api-key": key.get_secret_value()} if key is not None else {},
        timeout=httpx.Timeout(10.0, read=READ_SECONDS),
        **outside.options(url),
    )


async def answers(url: str) -> bool:
    """Whether a Counterpoint is ready there."""
    try:
        async with _at(url, key=None) as client:
            return (await client.get("/ok", timeout=_PROBE_SECONDS)).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


async def _greet(url: str) -> None:
    """Raises CommandFailed where there is no Counterpoint at the URL."""
    if urlsplit(url).scheme not in {"http", "https"}:
        raise CommandFailed(f"--url: {url} is no http URL; write http://HOST:PORT", code=Exit.USAGE)
    try:
        async with _at(url, key=None) as client:
            found = await client.get("/ok")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise CommandFailed(
            f"no server answers at {url} ({_reason(error)}); start one with "
            "`counterpoint up`, or correct --url",
            code=Exit.UNAVAILABLE,
        ) from None
    if found.status_code != httpx.codes.OK:
        raise CommandFailed(
            f"{url} is no Counterpoint (it answers {found.status_code}); correct --url",
            code=Exit.UNAVAILABLE,
        )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


async def call(client: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
    """One request and its JSON. Raises CommandFailed with what the server said."""
    try:
        response = await client.request(method, path, **options)
    except httpx.HTTPError as error:
        raise lost(error) from error
    await succeeded(response)
    return orjson.loads(response.content) if response.content else {}


async def succeeded(response: httpx.Response) -> None:
    """Raises CommandFailed for an answer that is none."""
    if response.is_success:
        return
    await response.aread()
    try:
        said = str(orjson.loads(response.content)["detail"])
    except (ValueError, KeyError, TypeError):
        said = f"the server answered {response.status_code}"
    if response.status_code == httpx.codes.UNAUTHORIZED:
        said = "the server wants a key, or another one; set COUNTERPOINT_API_KEY to it"
        raise CommandFailed(said, code=Exit.USAGE)
    code = Exit.UNAVAILABLE if response.status_code >= 500 else Exit.USAGE
    raise CommandFailed(said, code=code)


def lost(error: httpx.HTTPError) -> CommandFailed:
    """The server went away in the middle."""
    return CommandFailed(
        f"the server went away ({_reason(error)}); see its log, and start it again with "
        "`counterpoint up`",
        code=Exit.UNAVAILABLE,
    )


async def run_events(
    client: httpx.AsyncClient,
    request: Mapping[str, Any],
    *,
    thread_id: str | None = None,
    on_pause: Callable[[], None] = lambda: None,
) -> AsyncIterator[dict[str, Any]]:
    """Start a run and give its events, each once, to its end; a cut stream is taken up again.

    Without a thread it has one of its own, which goes with it.
    A run that waits for a person is waited for; ``on_pause`` hears of each look at it. Raises
    CommandFailed.
    """
    at = f"/threads/{thread_id}" if thread_id else ""
    method, path, last = "POST", f"{at}/runs/stream", ""
    place = ""
    tries = 0
    while True:
        over = paused = False
        body = dict(request) if method == "POST" else None
        params = {"stream_mode": "custom"} if method == "GET" else {}
        headers = {"last-event-id": last or "-1"} if method == "GET" else {}
        try:
            async with client.stream(
                method, path, params=params, headers=headers, json=body
            ) as response:
                await succeeded(response)
                place = response.headers.get("location", place)
                async for kind, name, data in frames(response):
                    if kind == "end":
                        # A run that was cancelled has this status too, and has told its end.
                        paused = data.get("status") == "interrupted" and not over
                        if not paused:
                            return
                    if kind == "custom":
                        last, tries = name or last, 0
                        over = data.get("type") in _ENDS
                        yield data
        except httpx.HTTPError as error:
            tries += 1
            if not place or tries > _RECONNECTS:
                raise lost(error) from error
        else:
            tries = 0 if paused else tries + 1
            if not place or tries > _RECONNECTS:
                raise CommandFailed(
                    "the server ended the stream before the run; see its log",
                    code=Exit.UNAVAILABLE,
                )
        method, path = "GET", place
        if paused:
            on_pause()
        await asyncio.sleep(min(5.0, 0.5 * 2**tries))


async def frames(response: httpx.Response) -> AsyncIterator[tuple[str, str, Any]]:
    """Server-sent events as (event, id, data)."""
    kind, name, data = "", "", ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                kind = value
            case "id":
                name = value
            case "data":
                data += value
            case "" if not line and data:
                yield kind, name, orjson.loads(data)
                kind, name, data = "", "", ""
            case _:
                pass
