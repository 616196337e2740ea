"""Text as one line or as a terminal shows it. Pure."""

from __future__ import annotations

import re

LONGEST = 120
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+|\s+")


def short(text: str, *, longest: int = LONGEST) -> str:
    """Text as one printable line, cut at a word."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[longest // 2 :] else cut).rstrip() + "…"


def printable(text: str) -> str:
    """Text without what would move the cursor or colour the terminal."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable()))
