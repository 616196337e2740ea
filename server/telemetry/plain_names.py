"""Names that came from outside, where they look like names."""

from __future__ import annotations

import re

from server.telemetry import names

_PLAIN = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def plain_id(text: str) -> str:
    """The text, or that it is none of ours."""
    return text if _PLAIN.fullmatch(text) else names.UNKNOWN
