"""Addresses among the settings: what cannot be one stops the start, before anything is opened."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator

_REDIS = (
    "no address of a Redis; write redis://HOST:PORT/0, rediss:// for TLS, or unix://PATH, and in a"
    " password `/`, `@`, `:`, `#`, `?` and `%` as %2F, %40, %3A, %23, %3F and %25"
)
_HTTP = "no http URL with a host; write it as http://HOST:PORT or https://HOST"


def _redis(value: str) -> str:
    parts = _parts(value, remedy=_REDIS)
    scheme, mark, _ = value.partition("://")
    known = scheme in {"redis", "rediss"} or (scheme == "unix" and parts.path)
    if not mark or not known:
        raise ValueError(_REDIS)
    return value


def _http(value: str) -> str:
    parts = _parts(value, remedy=_HTTP)
    if not parts.hostname or parts.scheme not in {"http", "https"}:
        raise ValueError(_HTTP)
    return value


def _parts(value: str, *, remedy: str) -> SplitResult:
    # Neither the value nor what Python says of it is shown: there may be a password in both.
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        raise ValueError(remedy) from None
    return parts


RedisUrl = Annotated[str, AfterValidator(_redis)]
HttpUrl = Annotated[str, AfterValidator(_http)]
