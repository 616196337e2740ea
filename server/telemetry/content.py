"""What people, models, tools and documents said, on its way into a span, or not."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import orjson

from guardrails.redaction import Kind, Redactor
from server.telemetry.span import Value

LONGEST = 4_000
"""Characters of one text."""


class Content(StrEnum):
    """How much of it a trace holds."""

    OFF = "off"
    REDACTED = "redacted"
    """Without what looks like a secret or like personal data."""
    FULL = "full"


class Writer:
    """Puts texts into spans as one run's mode allows; nothing in mode ``off``."""

    def __init__(self, mode: Content) -> None:
        self._mode = mode
        # One for a run: the same address has the same placeholder throughout.
        self._redactor = Redactor(kinds=frozenset(Kind)) if mode is Content.REDACTED else None

    @property
    def on(self) -> bool:
        return self._mode is not Content.OFF

    def put(self, attributes: dict[str, Value], name: str, said: Any) -> None:
        """Add a text, or anything else as JSON."""
        if self._mode is Content.OFF or not said:
            return
        if self._redactor is not None:
            # Before it is JSON and before it is cut: what is cut has no shape any more.
            said = self._redactor.redact_all(said)
        text = said if isinstance(said, str) else _json(said)
        attributes[name] = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _json(said: Any) -> str:
    return orjson.dumps(said, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def question_of(asked: Any) -> str:
    """The last message that a run was given, where it was given messages."""
    last = asked.messages[-1] if asked.messages else None
    content = last.get("content") if isinstance(last, Mapping) else None
    return content if isinstance(content, str) else ""
