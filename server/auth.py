"""Who may call: keys where there are some, and on loopback no web page of somebody else's."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import Fault, Forbidden, Invalid, Unauthorized, answer
from server.settings import LOOPBACK

OPEN_PATHS = frozenset({"/ok"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})


class Gate:
    """Lets a request through or answers 400, 401 or 403.

    Without keys a listener on loopback trusts everyone on this machine, so a browser must not be
    led here: neither under a foreign host name (DNS rebinding) nor from a page of another origin.
    """

    def __init__(self, app: ASGIApp, *, key_hashes: frozenset[str], host: str) -> None:
        self._app = app
        self._hashes = tuple(word.strip().lower() for word in key_hashes)
        self._only_loopback = host in LOOPBACK

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        fault = self._keyed(headers) if self._hashes else self._keyless(scope["method"], headers)
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await answer(fault, path=scope["path"])(scope, receive, send)

    def _keyed(self, headers: Headers) -> Fault | None:
        key = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        presented = hashlib.sha256(key.encode("utf-8", errors="replace")).hexdigest()
        # Every hash is compared, in constant time, whichever fits.
        if any([hmac.compare_digest(presented, known) for known in self._hashes]):  # noqa: C419
            return None
        said = "this key is not known here" if key else "a key is needed"
        return Unauthorized(
            f"{said}; send it as `Authorization: Bearer KEY` or `x-api-key: KEY`",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _keyless(self, method: str, headers: Headers) -> Fault | None:
        host = headers.get("host", "")
        if self._only_loopback and not is_loopback(host):
            return _bad_host(host)
        origin = headers.get("origin")
        if origin is not None and method not in READING and not is_same(origin, host=host):
            return Forbidden(
                f"a page of {origin[:100]} may not change anything here; "
                "set COUNTERPOINT_API_KEY_SHA256 and send a key"
            )
        return None


def is_loopback(host: str) -> bool:
    """Whether a Host header (``name[:port]``) names this machine and nothing else."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_same(origin: str, *, host: str) -> bool:
    """Whether a page of ``origin`` was served under the Host header ``host``."""
    scheme, _, authority = origin.partition("://")
    return scheme in {"http", "https"} and authority.lower() == host.lower() != ""


def _bearer(authorization: str) -> str:
    scheme, _, key = authorization.partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _bad_host(host: str) -> Fault:
    fault = Invalid(
        f"this server listens on loopback and is not called {host[:100]!r}; use http://127.0.0.1, "
        "or set COUNTERPOINT_API_KEY_SHA256 to serve under another name"
    )
    fault.status_code = 400
    return fault
