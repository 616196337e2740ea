"""Which titles a file carries only because some program put them there. Pure."""

from __future__ import annotations

import re

_PROGRAM = re.compile(r"Microsoft (?:Office )?(?:Word|PowerPoint|Excel) ?- ?")
_SAYS_NOTHING = re.compile(
    r"\(?(?:untitled|anonymous|unnamed|no title|unbenannt|sans titre)\)?"
    r"|(?:document|dokument|presentation|präsentation|book|workbook|mappe|slide|folie)[ _-]?\d*"
    r"|powerpoint[ -](?:presentation|präsentation|presentatie)|présentation powerpoint"
    r"|presentación de powerpoint|presentazione (?:standard )?di powerpoint",
    re.IGNORECASE,
)


def told(title: str | None) -> str:
    """The title that a file tells of itself; empty where it is none that a person gave it."""
    text = _PROGRAM.sub("", " ".join((title or "").split()), count=1)
    return "" if _SAYS_NOTHING.fullmatch(text) else text
