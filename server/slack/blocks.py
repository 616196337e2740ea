"""The pieces of Block Kit that our messages are made of, each within Slack's limits. Pure.

Limits: https://docs.slack.dev/reference/block-kit. Beside those of each piece, Slack refuses a
message whose blocks have more than about 13,000 characters together (``msg_blocks_too_long``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from server.slack import text as texts

Block = dict[str, Any]

MOST_MESSAGE_BLOCKS = 50
MOST_VIEW_BLOCKS = 100
MOST_TEXT = 3_000
MOST_HEADER = 150
MOST_BUTTON = 75
MOST_VALUE = 2_000
MOST_ID = 255
MOST_FIELDS = 10
MOST_FIELD = 2_000
MOST_CONTEXT = 10
MOST_ELEMENTS = 25
MOST_TITLE = 24
MOST_METADATA = 3_000
MOST_MESSAGE = 12_000

Style = Literal["primary", "danger"]


def plain(words: str, most: int) -> Block:
    """A text object that is never parsed; Slack refuses an empty one."""
    shown = texts.clipped(" ".join(texts.visible(words).split()), most)
    return {"type": "plain_text", "text": shown or "–", "emoji": False}


def mrkdwn(markup: str) -> Block:
    """A text object of ours, its data escaped before; what looks like a link in it is none."""
    return {"type": "mrkdwn", "text": markup[:MOST_TEXT] or "–", "verbatim": True}


def header(words: str) -> Block:
    return {"type": "header", "text": plain(words, MOST_HEADER)}


def section(
    markup: str = "",
    *,
    fields: Sequence[str] = (),
    accessory: Block | None = None,
    block_id: str | None = None,
) -> Block:
    """A paragraph of markup, or up to ten fields of it in two columns, or both."""
    made: Block = {"type": "section"}
    if markup or not fields:
        made["text"] = mrkdwn(markup)
    if fields:
        made["fields"] = [mrkdwn(one[:MOST_FIELD]) for one in fields[:MOST_FIELDS]]
    if accessory is not None:
        made["accessory"] = accessory
    if block_id is not None:
        made["block_id"] = block_id[:MOST_ID]
    return made


def context(*markups: str) -> Block:
    """Small print."""
    return {"type": "context", "elements": [mrkdwn(one) for one in markups[:MOST_CONTEXT]]}


def divider() -> Block:
    return {"type": "divider"}


def button(
    words: str,
    *,
    action: str,
    value: str = "",
    style: Style | None = None,
    confirm: Block | None = None,
    label: str | None = None,
) -> Block:
    """A button; ``label`` is what a screen reader says in place of its words."""
    made: Block = {
        "type": "button",
        "action_id": action[:MOST_ID],
        "text": plain(words, MOST_BUTTON),
    }
    if value:
        made["value"] = value[:MOST_VALUE]
    if style is not None:
        made["style"] = style
    if confirm is not None:
        made["confirm"] = confirm
    if label is not None:
        made["accessibility_label"] = texts.clipped(label, MOST_BUTTON)
    return made


def actions(elements: Sequence[Block], *, block_id: str | None = None) -> Block:
    made: Block = {"type": "actions", "elements": list(elements[:MOST_ELEMENTS])}
    if block_id is not None:
        made["block_id"] = block_id[:MOST_ID]
    return made


def confirm(title: str, words: str, *, yes: str, no: str, style: Style = "primary") -> Block:
    """A second question before a button does what it says."""
    return {
        "title": plain(title, 100),
        "text": plain(words, 300),
        "confirm": plain(yes, 30),
        "deny": plain(no, 30),
        "style": style,
    }


def preformatted(words: str, *, most: int = MOST_TEXT) -> Block:
    """Data in a frame of its own: rich text, which has no markup to be broken out of."""
    return rich({"type": "rich_text_preformatted", "elements": [piece(words, most=most)]})


def rich(*elements: Block) -> Block:
    return {"type": "rich_text", "elements": list(elements)}


def line(*pieces: Block) -> Block:
    """One line of rich text."""
    return {"type": "rich_text_section", "elements": list(pieces)}


def piece(words: str, *styles: str, most: int = MOST_TEXT) -> Block:
    """A run of rich text; ``styles`` are bold, italic, strike and code."""
    made: Block = {"type": "text", "text": texts.clipped(words, most) or "–"}
    if styles:
        made["style"] = dict.fromkeys(styles, True)
    return made


def within(blocks: Iterable[Block], *, most: int, more: str) -> list[Block]:
    """At most so many blocks; where some were left out, the last one says so."""
    found = list(blocks)
    if len(found) <= most:
        return found
    return [*found[: most - 1], context(more)]


def message(blocks: Sequence[Block], *, words: str) -> Mapping[str, Any]:
    """What ``chat.postMessage`` and ``chat.update`` are given; ``words`` are for notifications."""
    shown = within(blocks, most=MOST_MESSAGE_BLOCKS, more="There is more than Slack shows.")
    return {"text": texts.escaped(words, MOST_TEXT) or "–", "blocks": shown}


def modal(
    title: str,
    blocks: Sequence[Block],
    *,
    callback: str = "",
    submit: str | None = None,
    close: str = "Close",
    metadata: str = "",
) -> Block:
    """A dialog; ``metadata`` comes back with what is sent."""
    shown = within(blocks, most=MOST_VIEW_BLOCKS, more="There is more than Slack shows.")
    made: Block = {
        "type": "modal",
        "title": plain(title, MOST_TITLE),
        "close": plain(close, MOST_TITLE),
        "blocks": shown,
    }
    if callback:
        made["callback_id"] = callback[:MOST_ID]
    if submit is not None:
        made["submit"] = plain(submit, MOST_TITLE)
    if metadata:
        made["private_metadata"] = metadata[:MOST_METADATA]
    return made
