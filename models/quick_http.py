"""httpx over aiohttp's connections, for requests that may be made twice: a third of the CPU.

httpx asks the kernel of each idle connection whether it was closed, with every request. aiohttp
takes one and may find it closed only then: what was sent over it was not begun, but nothing says
so. So what must not be made twice goes as ever.
"""

from __future__ import annotations

from collections.abc import Callable

import aiohttp
import httpx
from yarl import URL

# Below the five seconds after which servers commonly close what is idle.
_IDLE_SECONDS = 4.0


class QuickTransport(httpx.AsyncBaseTransport):
    """Whole answers to the requests of which ``may_repeat`` says so; without proxies.

    Raises httpx's errors: ConnectError and ConnectTimeout where nothing was sent, ReadTimeout,
    ReadError.
    """

    def __init__(self, *, may_repeat: Callable[[httpx.Request], bool]) -> None:
        self._may_repeat = may_repeat
        self._other = httpx.AsyncHTTPTransport(trust_env=False)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not self._may_repeat(request):
            return await self._other.handle_async_request(request)
        try:
            return await self._answer(request)
        except (aiohttp.ConnectionTimeoutError, aiohttp.ClientConnectorError) as error:
            late = isinstance(error, TimeoutError)
            kind = httpx.ConnectTimeout if late else httpx.ConnectError
            raise kind(str(error), request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError(str(error), request=request) from error

    async def aclose(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._other.aclose()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        # The user of a URL is in its header already.
        url = request.url.copy_with(userinfo=b"")
        limits = request.extensions.get("timeout", {})
        async with self._open().request(
            request.method,
            URL(str(url), encoded=True),
            headers=request.headers.multi_items(),
            data=request.content or None,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=limits.get("pool"),
                sock_connect=limits.get("connect"),
                sock_read=limits.get("read"),
            ),
        ) as answer:
            return httpx.Response(
                answer.status,
                headers=answer.raw_headers,
                content=await answer.read(),
                request=request,
            )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(keepalive_timeout=_IDLE_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                # httpx reads the headers and undoes what they say.
                auto_decompress=False,
            )
        return self._session
