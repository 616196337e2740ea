"""Other people's text as Slack shows it: as text, never as a mention, a link or markup. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from server.wire import printable

# Not each "<!": in code, such as HTML's, an unseen character would come along.
_MENTION = re.compile(
    r"<(?=[@#][a-z0-9]+[|>]|!\s*(?:channel|here|everyone|group|subteam|date)\b)", re.IGNORECASE
)
_APART = "\u2060"
_ELLIPSIS = "…"


def visible(text: str) -> str:
    """The text with what could not be seen in it shown by its number, as the console has it."""
    return printable.visible(text)


def clipped(text: str, most: int) -> str:
    """At most so many characters."""
    return text if len(text) <= most else text[: most - 1] + _ELLIPSIS


def escaped(text: str, most: int = 3_000) -> str:
    """Data within mrkdwn: no mention, channel or link comes of it. ``most`` is of the result."""
    shown = _entities(visible(text))
    if len(shown) <= most:
        return shown
    # An entity is not cut in two.
    cut = shown[: most - 1]
    ampersand = cut.rfind("&", max(0, len(cut) - 4))
    if ampersand >= 0 and ";" not in cut[ampersand:]:
        cut = cut[:ampersand]
    return cut + _ELLIPSIS


def disarmed(markdown: str) -> str:
    """A model's Markdown, in which nobody is called: ``<!channel>`` and its kin are only text."""
    return _MENTION.sub(f"<{_APART}", markdown)


def bold(text: str, most: int = 300) -> str:
    """Data in bold, within mrkdwn; its own stars cannot end it."""
    shown = escaped(" ".join(text.split()), most).replace("*", "∗")
    return f"*{shown}*" if shown else ""


def code(text: str, most: int = 300) -> str:
    """Data in one line of code, within mrkdwn; its own backticks cannot end it."""
    shown = escaped(" ".join(text.split()), most).replace("`", "ˋ")
    return f"`{shown}`" if shown else ""


def when(moment: datetime) -> str:
    """A moment in the reader's own time zone, within mrkdwn."""
    other = f"{moment:%Y-%m-%d %H:%M} UTC"
    return f"<!date^{int(moment.timestamp())}^{{date_short_pretty}} at {{time}}|{other}>"


def words(value: Any) -> str:
    """A JSON value as one reads it: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else as_json(value)


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=indent, default=str)


def arguments(args: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Names and values of a call's arguments as they are shown, nothing hidden in them.

    Further lines of a value are indented, so that none looks like another argument.
    """
    return [
        (_in_line(visible(str(name))), _indented(visible(_value(one))))
        for name, one in args.items()
    ]


def _in_line(name: str) -> str:
    return re.sub(r"[\r\n\t]", lambda found: f"U+{ord(found[0]):04X}", name)


def _indented(value: str) -> str:
    return "\n".join(value.splitlines()).replace("\n", "\n    ")


def _value(value: Any) -> str:
    if isinstance(value, str):
        # Quoted only where it would not be told apart from another kind of value.
        return as_json(value) if value.strip() != value or not value or _is_json(value) else value
    return as_json(value)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _entities(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def left(seconds: float) -> str:
    """A time to come, in words."""
    minutes = max(0, round(seconds / 60))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else "less than a minute"
