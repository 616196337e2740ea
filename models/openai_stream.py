"""One streamed request to an OpenAI-compatible endpoint over aiohttp."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import SimpleNamespace
from typing import Any

import aiohttp

from models import failures, frames, outside, sse
from models.errors import ModelError
from models.openai_messages import dumps
from models.pieces import Piece
from models.registry import ModelSpec

_CONNECT_SECONDS = 5.0
_IDLE_SECONDS = 30.0
_COUNT_SECONDS = 5.0  # from the finish reason to the count of tokens and the end mark
_GOODBYE_SECONDS = 1.0  # from the end mark to the end of the body
_LONGEST_WHOLE = 16 * 1024 * 1024
_LONGEST_PROBLEM = 64 * 1024
_DONE = b"[DONE]"
_NOTHING_ELSE = Piece()[1:]


class OpenAIStream:
    """Keeps connections open between requests, for one event loop; opened by the first request."""

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = spec
        self._url = f"{spec.url.rstrip('/')}/chat/completions"
        self._proxy = outside.proxy_for(spec.url)
        self._trusted = outside.trusted() if spec.url.startswith("https:") else True
        self._session: aiohttp.ClientSession | None = None

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def pieces(self, body: Mapping[str, Any]) -> AsyncGenerator[Piece, None]:
        """The reply piece by piece; raises ``ModelError``."""
        spec = self._spec
        arrived = finished = False
        try:
            async with aclosing(self._read(await self._send(dumps(body)))) as stream:
                async for piece in stream:
                    arrived = True
                    finished = finished or piece.finish is not None
                    yield piece
        except ModelError:
            raise
        except frames.ProviderError as error:
            raise failures.within_reply(spec, str(error)) from None
        except (frames.BadFrame, sse.TooLong) as error:
            raise failures.unreadable(spec) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            # Whole already; only the count of its tokens may have been lost.
            if not finished or isinstance(error, TimeoutError):
                raise _error_for(spec, error) from error
        if not arrived:
            raise failures.no_stream(spec)
        if not finished:
            raise failures.cut(spec)

    async def _send(self, body: bytes) -> aiohttp.ClientResponse:
        try:
            return await self._post(body)
        except _Stale:
            return await self._post(body)

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        connection = SimpleNamespace(reused=False)
        try:
            return await self._open().post(
                self._url,
                data=body,
                proxy=self._proxy,
                max_redirects=3,
                trace_request_ctx=connection,
            )
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            # The server closed it while it was idle, as we wrote: nothing was begun.
            if connection.reused:
                connection.reused = False
                raise _Stale from error
            raise

    async def _read(self, response: aiohttp.ClientResponse) -> AsyncGenerator[Piece, None]:
        try:
            if response.status != 200:
                raise await self._refusal(response)
            if response.content_type == "application/json":
                yield frames.whole(await _up_to(response, _LONGEST_WHOLE))
                return
            events = sse.Events()
            content = response.content
            deadline: float | None = None
            while received := await _receive(content, deadline):
                # Tokens that came together are told together: each is told to many.
                text = ""
                for data in events.feed(received):
                    if data == _DONE:
                        if text:
                            yield Piece(text)
                        await _goodbye(content)
                        return
                    if not data:
                        continue
                    piece = frames.read(data)
                    if piece.text and piece == (piece.text, *_NOTHING_ELSE):
                        text += piece.text
                        continue
                    if text:
                        yield Piece(text)
                        text = ""
                    if piece.finish is not None:
                        deadline = asyncio.get_running_loop().time() + _COUNT_SECONDS
                    yield piece
                if text:
                    yield Piece(text)
            for data in events.end():
                if data != _DONE:
                    yield _last(data)
        finally:
            # Goes back to the others if its body was read to the end, and is closed if not.
            response.release()

    async def _refusal(self, response: aiohttp.ClientResponse) -> ModelError:
        body = await _up_to(response, _LONGEST_PROBLEM)
        problem = frames.problem_in(body)
        said = str(problem) if problem else body.decode(errors="replace") or response.reason or ""
        return failures.for_status(
            self._spec,
            response.status,
            said=said,
            code=problem.code if problem else None,
            retry_after=response.headers.get("retry-after"),
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            spec = self._spec
            headers = {
                "accept": "text/event-stream, application/json",
                # Frames are small: packing them would hold tokens back.
                "accept-encoding": "identity",
                "content-type": "application/json",
                "user-agent": "counterpoint",
            }
            if spec.key and (key := spec.key.get_secret_value()):
                headers["authorization"] = f"Bearer {key}"
            tracing = aiohttp.TraceConfig()
            tracing.on_connection_reuseconn.append(_note_reuse)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=_IDLE_SECONDS, ssl=self._trusted
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=headers,
                timeout=aiohttp.ClientTimeout(
                    total=spec.timeout, sock_connect=min(_CONNECT_SECONDS, spec.timeout)
                ),
                trace_configs=[tracing],
                trust_env=False,
            )
        return self._session


class _Stale(aiohttp.ClientError):
    """A connection that was open before is gone, and nothing came back over it."""


async def _note_reuse(session: Any, context: SimpleNamespace, params: Any) -> None:
    del session, params
    context.trace_request_ctx.reused = True


async def _receive(content: aiohttp.StreamReader, deadline: float | None) -> bytes:
    """More of the body; nothing at its end, or where a finished reply has no more to come."""
    if deadline is None:
        return await content.readany()
    try:
        async with asyncio.timeout_at(deadline):
            return await content.readany()
    except TimeoutError:
        return b""


async def _goodbye(content: aiohttp.StreamReader) -> None:
    try:
        async with asyncio.timeout(_GOODBYE_SECONDS):
            while await content.readany():
                pass
    except (aiohttp.ClientError, TimeoutError):
        return


async def _up_to(response: aiohttp.ClientResponse, longest: int) -> bytes:
    """The body, or its beginning where it is longer."""
    parts: list[bytes] = []
    length = 0
    while length < longest and (part := await response.content.readany()):
        parts.append(part)
        length += len(part)
    return b"".join(parts)[:longest]


def _last(data: bytes) -> Piece:
    """A frame at the very end of a body: half of one means that the rest was cut off."""
    try:
        return frames.read(data)
    except frames.BadFrame:
        return Piece()


def _error_for(spec: ModelSpec, error: Exception) -> ModelError:
    match error:
        case aiohttp.ConnectionTimeoutError():
            return failures.unreachable(spec, "does not answer")
        case TimeoutError():
            return failures.timed_out(spec)
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return failures.unreachable(spec, "cannot be reached through the proxy")
        case aiohttp.ClientSSLError():
            return failures.unreachable(spec, "offers no TLS that can be trusted")
        case aiohttp.ClientConnectorDNSError():
            return failures.unreachable(spec, "names a host that cannot be found")
        case aiohttp.ClientConnectorError():
            return failures.unreachable(spec, "refuses connections")
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return failures.unreachable(spec, "is no URL of a web server")
        case aiohttp.ClientResponseError():
            return failures.unreadable(spec)
        case _:
            return failures.cut(spec)
