"""Text as one line or as a terminal shows it. Pure."""

from __future__ import annotations

import re

LONGEST = 120
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+|\s+")
# What makes text stand in another order than it is in.
_TURNING = re.compile(r"[\u202a-\u202e\u2066-\u2069]")
# As the console has it: what hides or reorders text, and what no renderer shows.
_ODD = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
_MARKUP = re.compile(r"\](?=[(\[])|<(?=[A-Za-z/!?])")


def short(text: str, *, longest: int = LONGEST) -> str:
    """Text as one printable line, cut at a word."""
    line = _UNPRINTABLE.sub(" ", text).strip()
    if len(line) <= longest:
        return line
    cut = line[: longest - 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[longest // 2 :] else cut).rstrip() + "…"


def inert(line: str) -> str:
    """A line of which no Markdown renderer makes an image, a link or HTML, read as it stands.

    What documents and programs say is shown where a browser would fetch what an image names.
    """
    return _MARKUP.sub(r"\g<0> ", _TURNING.sub("", line))


def visible(text: str) -> str:
    """The text with what could not be seen in it shown by its number."""
    return _ODD.sub(lambda found: f"U+{ord(found[0]):04X}", text)


def terminal(text: str) -> str:
    """Other people's text as a terminal shows it to who decides: nothing in it moves the cursor,
    colours, hides or reorders what stands there."""
    return visible(text.replace("\r\n", "\n")).replace("\r", "U+000D")


def printable(text: str) -> str:
    """Text without what would move the cursor or colour the terminal."""
    return "".join(c for c in text if c in "\n\t" or (c.isprintable()))
