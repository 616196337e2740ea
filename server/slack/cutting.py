"""A long answer in pieces that Slack takes, cut where a reader would. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

PIECE = 11_500
"""Characters of one call or one markdown block; Slack takes 12,000, and fences are added."""
MESSAGE = 36_000
"""Characters of one streamed message; Slack takes 40,000, and more comes below it."""
_FENCE = re.compile(r"^[ ]{0,3}(```+|~~~+)[ \t]*([^\n`]*)$", re.MULTILINE)
_LONGEST_FENCE = 60


@dataclass(frozen=True, kw_only=True)
class Piece:
    """``text`` as it is shown, and where in the whole the next one begins."""

    text: str
    end: int


def cut(text: str, start: int, *, most: int = PIECE) -> Piece:
    """The next piece: whole in itself, its code block opened and closed where it was cut in one."""
    before, end = _open_fence(text[:start]), _end(text, start, most)
    after = _open_fence(text[:end])
    shown = text[start:end]
    if before:
        shown = f"{before}\n{shown}"
    if after and end < len(text):
        shown = f"{shown.rstrip()}\n{_mark(after)}"
    return Piece(text=shown, end=end)


def raw(text: str, start: int, *, most: int = PIECE) -> Piece:
    """The next piece of what is joined again by who shows it: exactly the text's characters."""
    end = _end(text, start, most)
    return Piece(text=text[start:end], end=end)


def _end(text: str, start: int, most: int) -> int:
    """Where to cut at the latest: behind a paragraph, a line, a word, or in the midst of one."""
    if len(text) - start <= most:
        return len(text)
    least, last = start + most // 2, start + most
    for separator in ("\n\n", "\n", " "):
        found = text.rfind(separator, least, last)
        if found >= 0:
            return found + len(separator)
    return last


def _open_fence(text: str) -> str:
    """The line that opened the code block which is open at the text's end; '' where none is."""
    opened = ""
    for found in _FENCE.finditer(text):
        if not opened:
            opened = found[0].strip()[:_LONGEST_FENCE]
        elif found[1].startswith(_mark(opened)) and not found[2].strip():
            opened = ""
    return opened


def _mark(opened: str) -> str:
    return opened[: len(opened) - len(opened.lstrip(opened[0]))]
