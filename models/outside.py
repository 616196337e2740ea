"""How a service is reached: one in the house directly, others through the operator's proxy."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import certifi
import httpx

from models.registry import is_private


def proxy_for(url: str) -> str | None:
    """The environment's proxy: for the world outside, never for what is in the house.

    Raises httpx.ProxyError where it is none that can be spoken to.
    """
    if is_private(url):
        return None
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    proxies = getproxies()
    name = parts.scheme if proxies.get(parts.scheme) else "all"
    proxy = proxies.get(name)
    if not proxy:
        return None
    # As curl reads it.
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    _check(proxy, variable=f"{name.upper()}_PROXY", host=parts.hostname or url)
    return proxy


def _check(proxy: str, *, variable: str, host: str) -> None:
    remedy = f"set it to an HTTP proxy, or list {host} in NO_PROXY"
    try:
        scheme = httpx.Proxy(proxy).url.scheme
    except (ValueError, httpx.InvalidURL):
        # It may hold a password, so that it is not shown.
        scheme = urlsplit(proxy).scheme
        if scheme in {"http", "https"}:
            raise httpx.ProxyError(f"{variable} is no URL of a proxy; {remedy}") from None
    if scheme not in {"http", "https"}:
        raise httpx.ProxyError(
            f"{variable} names a proxy that speaks {scheme}, which is not spoken here; {remedy}"
        )


def trusted() -> ssl.SSLContext:
    """Whom the system trusts, and whom browsers do: a small image has no list of its own."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def options(url: str) -> dict[str, Any]:
    """What a client of httpx is made with to reach ``url`` so. Raises httpx.ProxyError.

    httpx's own reading of the environment stops at a NO_PROXY with a network in it, at a second
    proxy that it does not need, and knows only the certificates of browsers.
    """
    return {
        "proxy": proxy_for(url),
        "verify": trusted() if url.startswith("https:") else True,
        "trust_env": False,
    }
