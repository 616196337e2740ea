"""A path with a slash too many is led to the one without it."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import RedirectResponse
from starlette.routing import Match, Router
from starlette.types import Receive, Scope, Send


class Elsewhere:
    """What a router does with a path that it does not have.

    The way is relative: behind a proxy with TLS our own address begins otherwise than the caller's,
    who would send his key to it once more, in the clear.
    """

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = str(scope["path"])
        bare = path.removesuffix("/")
        name = bare.rpartition("/")[2]
        if scope["type"] == "http" and bare != path and name and self._has({**scope, "path": bare}):
            url = f"../{quote(name, safe='')}"
            if query := scope["query_string"].decode("latin-1"):
                url = f"{url}?{query}"
            await RedirectResponse(url)(scope, receive, send)
            return
        await self._router.not_found(scope, receive, send)

    def _has(self, scope: Scope) -> bool:
        return any(route.matches(scope)[0] is not Match.NONE for route in self._router.routes)
