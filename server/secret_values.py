"""The values that must not be shown anywhere, wherever they are configured. Pure: no IO."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, SecretStr

SHORTEST = 6
"""Characters; a shorter value would take ordinary words out of every line."""

_NAMED = re.compile(r"(?:^|_)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?|DSN)(?:_|$)", re.I)
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.I)


def of(configured: BaseModel | None, environment: Mapping[str, str]) -> frozenset[str]:
    """Keys and tokens among the settings, passwords in their URLs, and the values of variables
    whose names say that they are secret (``..._KEY``, ``..._TOKEN``, ``..._PASSWORD``)."""
    found = {*_within(configured)}
    for name, value in environment.items():
        if _NAMED.search(name):
            found.add(value)
        found.update(_passwords(value))
    return frozenset(one.strip() for one in found if len(one.strip()) >= SHORTEST)


def _within(value: Any) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case str():
            yield from _passwords(value)
        case BaseModel():
            for name in type(value).model_fields:
                yield from _within(getattr(value, name))
        case Mapping():
            for one in value.values():
                yield from _within(one)
        case list() | tuple() | set() | frozenset():
            for one in value:
                yield from _within(one)


def _passwords(text: str) -> Iterator[str]:
    """The passwords of the URLs in a text, as they are written and as they are meant."""
    for url in _URL.findall(text):
        try:
            password = urlsplit(url).password
        except ValueError:
            continue
        if password:
            yield password
            yield unquote(password)
