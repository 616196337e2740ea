"""Who may call: keys where there are some, and on loopback no web page of somebody else's."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from graphs.keys import DEFAULT_TENANT
from server.artifacts import links
from server.errors import Fault, Forbidden, Invalid, Unauthorized, answer
from server.sections import TENANT, CallerRole
from server.settings import LOOPBACK, Settings
from tools.retrieval.remote_knowledge import TENANT_HEADER

# What Slack sends is signed, and checked where it arrives.
OPEN_PATHS = frozenset({"/ok", "/", "/slack/events"})
# Pages without data, on which a person types the key; a browser can send none to get at them.
_PAGES = re.compile(r"/(console|docs)(/.*)?|/openapi\.json")
READING = frozenset({"GET", "HEAD", "OPTIONS"})
# A page of this machine, whatever its port: an interface that somebody develops or runs here.
LOOPBACK_ORIGIN = r"https?://(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d{1,5})?"
ANY_ORIGIN = "*"

_CALLS = frozenset({"http", "websocket"})
_NOBODY = "local"
_KEY = "key"


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asked: the key's name, whose things it reaches, and what it may do."""

    name: str
    tenant: str = DEFAULT_TENANT
    roles: frozenset[CallerRole] = frozenset({CallerRole.USER})

    def may(self, role: CallerRole) -> bool:
        """Whether this caller has a role; an admin has all."""
        return role in self.roles or CallerRole.ADMIN in self.roles


OPERATOR = Caller(name=_NOBODY, roles=frozenset(CallerRole))
"""Whoever calls a server on loopback that has no keys."""


def caller_of(request: Request) -> Caller:
    """The caller whom the gate let in, for a route that only some callers of need a key."""
    return cast("Caller", request.state.caller)


# Async, though nothing is awaited: FastAPI would ask a thread for the others, at each request.
async def _caller(request: Request) -> Caller:
    """The caller whom the gate let in."""
    return caller_of(request)


async def _operator(request: Request) -> Caller:
    """The caller, if an operator. Raises Forbidden."""
    caller = caller_of(request)
    if not caller.may(CallerRole.OPERATOR):
        raise Forbidden(
            f"the key {caller.name!r} is no operator's; give it the role under [[keys]], "
            "or use another key"
        )
    return caller


CallerDep = Annotated[Caller, Depends(_caller)]
OperatorDep = Annotated[Caller, Depends(_operator)]


def callers(settings: Settings) -> Mapping[str, Caller]:
    """Who is known here, by the SHA-256 (hex, lower case) of their keys."""
    old = {
        word.strip().lower(): Caller(name=_KEY, roles=frozenset(CallerRole))
        for word in settings.api_key_sha256
    }
    named = {
        key.sha256.lower(): Caller(name=key.name, tenant=key.tenant, roles=frozenset(key.roles))
        for key in settings.keys
    }
    return {**old, **named}


class Gate:
    """Lets a request through with its caller (``CallerDep``), or answers 400, 401 or 403.

    Without keys a listener on loopback trusts everyone on this machine, so a browser must not be
    led here: neither under a foreign host name (DNS rebinding) nor from a page of another origin.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._callers = callers(settings)
        self._only_loopback = settings.host in LOOPBACK
        self._origins = frozenset(settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in _CALLS or _is_open(scope["path"]) or links.is_signed(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # Commands come over a socket, so that a page must be as trusted as one that posts.
        method = scope.get("method", "POST")
        let_in = self._keyed(headers) if self._callers else self._keyless(method, headers)
        if isinstance(let_in, Caller):
            let_in = _acting(let_in, tenant=headers.get(TENANT_HEADER))
        if isinstance(let_in, Caller):
            scope.setdefault("state", {})["caller"] = let_in
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await _refused(let_in, receive, send)
        else:
            await answer(let_in, path=scope["path"])(scope, receive, send)

    def _keyed(self, headers: Headers) -> Caller | Fault:
        key = headers.get("x-api-key") or _bearer(headers.get("authorization", ""))
        presented = hashlib.sha256(key.encode("utf-8", errors="replace")).hexdigest()
        # Every hash is compared, in constant time, whichever fits.
        found = [
            caller
            for known, caller in self._callers.items()
            if hmac.compare_digest(presented, known)
        ]
        if found:
            return found[0]
        said = "this key is not known here" if key else "a key is needed"
        return Unauthorized(
            f"{said}; send it as `Authorization: Bearer KEY` or `x-api-key: KEY`",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _keyless(self, method: str, headers: Headers) -> Caller | Fault:
        host = headers.get("host", "")
        if self._only_loopback and not is_loopback(host):
            return _bad_host(host)
        origin = headers.get("origin")
        if origin is None or method in READING or self._trusts(origin, host=host):
            return OPERATOR
        return Forbidden(
            f"a page of {origin[:100]} may not change anything here; name it in "
            "COUNTERPOINT_CORS_ORIGINS, or set COUNTERPOINT_API_KEY_SHA256 and send a key"
        )

    def _trusts(self, origin: str, *, host: str) -> bool:
        return (
            is_same(origin, host=host)
            or origin in self._origins
            or (self._only_loopback and re.fullmatch(LOOPBACK_ORIGIN, origin) is not None)
        )


async def _refused(fault: Fault, receive: Receive, send: Send) -> None:
    """Close a socket with the status in its code: a browser is shown nothing else of it."""
    await receive()
    await send({"type": "websocket.accept"})
    reason = str(fault.detail).encode()[:120].decode(errors="ignore")
    await send({"type": "websocket.close", "code": 4_000 + fault.status_code, "reason": reason})


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or _PAGES.fullmatch(path) is not None


def _acting(caller: Caller, *, tenant: str | None) -> Caller | Fault:
    """The caller for the tenant that the request names, which is an admin's right."""
    if tenant is None or tenant == caller.tenant:
        return caller
    if not caller.may(CallerRole.ADMIN):
        return Forbidden(
            f"the key {caller.name!r} may not act for another tenant; leave {TENANT_HEADER} out, "
            "or use a key with the role admin"
        )
    if not re.fullmatch(TENANT, tenant):
        return Invalid(f"{TENANT_HEADER}: letters, digits, dots, dashes, underscores, 64 at most")
    return replace(caller, tenant=tenant)


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
