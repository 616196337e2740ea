"""Slack's limits of Block Kit, as Slack would refuse what breaks them.

From https://docs.slack.dev/reference/block-kit (November 2026). What is not known here is a fault:
our messages are made of these pieces and no others.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

MOST_BLOCKS = {"message": 50, "modal": 100, "home": 100}
MOST_CHARACTERS = 13_000
"""Of all blocks of a message together: beyond, Slack says ``msg_blocks_too_long``."""
_CALLED = re.compile(r"<(?!!date\^\d+\^\{date_short_pretty\} at \{time\}\|[^|<>]*>)")
_STYLES = {"bold", "italic", "strike", "code"}
_KEYS: Mapping[str, tuple[set[str], set[str]]] = {
    # type: (needed, possible)
    "header": ({"text"}, set()),
    "section": (set(), {"text", "fields", "accessory"}),
    "context": ({"elements"}, set()),
    "divider": (set(), set()),
    "actions": ({"elements"}, set()),
    "context_actions": ({"elements"}, set()),
    "rich_text": ({"elements"}, set()),
    "input": ({"label", "element"}, {"hint", "optional"}),
    "markdown": ({"text"}, set()),
    "button": (
        {"text", "action_id"},
        {"value", "style", "confirm", "accessibility_label", "url"},
    ),
    "feedback_buttons": ({"action_id", "positive_button", "negative_button"}, set()),
    "plain_text_input": (
        {"action_id"},
        {"initial_value", "multiline", "max_length", "min_length", "focus_on_load", "placeholder"},
    ),
    "number_input": (
        {"action_id", "is_decimal_allowed"},
        {"initial_value", "min_value", "max_value"},
    ),
    "static_select": ({"action_id", "options"}, {"initial_option", "placeholder"}),
}
_BLOCKS = {
    "header",
    "section",
    "context",
    "divider",
    "actions",
    "context_actions",
    "rich_text",
    "input",
    "markdown",
}
_INPUTS = {"plain_text_input", "number_input", "static_select"}
_ONLY_IN = {"input": {"modal", "home"}, "context_actions": {"message"}, "markdown": {"message"}}


class BrokenError(AssertionError):
    """Slack would refuse this."""


def message(payload: Mapping[str, Any]) -> None:
    """Raises BrokenError where ``chat.postMessage`` or ``chat.update`` would refuse it."""
    _length(payload.get("text"), "text", least=1, most=40_000)
    _no_call(payload["text"], "text")
    _blocks(payload["blocks"], surface="message")
    size = len(json.dumps(payload["blocks"], ensure_ascii=False))
    written = sum(map(len, _texts(payload["blocks"])))
    if written > MOST_CHARACTERS:
        raise BrokenError(f"msg_blocks_too_long: {written} characters ({size} as JSON)")


def view(payload: Mapping[str, Any]) -> None:
    """Raises BrokenError where ``views.open`` or ``views.publish`` would refuse it."""
    kind = payload["type"]
    _need(kind in {"modal", "home"}, f"type: {kind}")
    if kind == "modal":
        for name in ("title", "close", "submit"):
            if name in payload or name == "title":
                _plain(payload[name], name, most=24)
    inputs = any(block["type"] == "input" for block in payload["blocks"])
    _need(not inputs or kind == "home" or "submit" in payload, "submit: needed with an input")
    _length(payload.get("callback_id", ""), "callback_id", most=255)
    _length(payload.get("private_metadata", ""), "private_metadata", most=3_000)
    _blocks(payload["blocks"], surface=kind)


def errors(found: Mapping[str, str], of: Mapping[str, Any]) -> None:
    """Raises BrokenError where ``response_action: errors`` names no input of the view."""
    known = {block["block_id"] for block in of["blocks"] if block["type"] == "input"}
    _need(bool(found) and set(found) <= known, f"errors: {set(found) - known} are no inputs")
    for name, words in found.items():
        _length(words, name, least=1, most=150)


def _blocks(blocks: Any, *, surface: str) -> None:
    _need(isinstance(blocks, list), "blocks: a list")
    _need(1 <= len(blocks) <= MOST_BLOCKS[surface], f"blocks: {len(blocks)}")
    ids = Counter(block["block_id"] for block in blocks if "block_id" in block)
    _need(not ids or max(ids.values()) == 1, f"block_id: twice {ids}")
    for at, block in enumerate(blocks):
        _block(block, f"blocks[{at}]", surface=surface)


def _block(block: Mapping[str, Any], where: str, *, surface: str) -> None:
    kind = block.get("type")
    _need(kind in _BLOCKS, f"{where}: type {kind}")
    _need(surface in _ONLY_IN.get(str(kind), {surface}), f"{where}: no {kind} in a {surface}")
    _keys(block, where, {"block_id"})
    if "block_id" in block:
        _length(block["block_id"], f"{where}.block_id", least=1, most=255)
    match kind:
        case "header":
            _plain(block["text"], f"{where}.text", most=150)
        case "section":
            _section(block, where)
        case "context":
            _many(block["elements"], where, most=10)
            for one in block["elements"]:
                _text(one, where, most=3_000)
        case "actions":
            _many(block["elements"], where, most=25)
            _elements(block["elements"], where, {"button"})
        case "context_actions":
            _many(block["elements"], where, most=5)
            _elements(block["elements"], where, {"feedback_buttons", "icon_button"})
        case "rich_text":
            _rich(block["elements"], where)
        case "input":
            _plain(block["label"], f"{where}.label", most=2_000)
            if "hint" in block:
                _plain(block["hint"], f"{where}.hint", most=2_000)
            _elements([block["element"]], where, _INPUTS)
        case "markdown":
            _length(block["text"], where, least=1, most=12_000)


def _section(block: Mapping[str, Any], where: str) -> None:
    _need("text" in block or "fields" in block, f"{where}: empty")
    if "text" in block:
        _text(block["text"], f"{where}.text", most=3_000)
    if "fields" in block:
        _many(block["fields"], f"{where}.fields", most=10)
        for one in block["fields"]:
            _text(one, f"{where}.fields", most=2_000)
    if "accessory" in block:
        _elements([block["accessory"]], where, {"button"})


def _elements(elements: Any, where: str, kinds: set[str]) -> None:
    ids = Counter(one["action_id"] for one in elements)
    _need(max(ids.values()) == 1, f"{where}: action_id twice {ids}")
    for one in elements:
        _need(one["type"] in kinds, f"{where}: no {one['type']} here")
        _keys(one, where, set())
        _length(one["action_id"], f"{where}.action_id", least=1, most=255)
        _element(one, f"{where}.{one['type']}")


def _element(one: Mapping[str, Any], where: str) -> None:
    match one["type"]:
        case "button":
            _plain(one["text"], where, most=75)
            _length(one.get("value", "x"), f"{where}.value", least=1, most=2_000)
            _length(one.get("accessibility_label", ""), f"{where}.label", most=75)
            _need(one.get("style", "primary") in {"primary", "danger"}, f"{where}.style")
            if "confirm" in one:
                _confirm(one["confirm"], where)
        case "feedback_buttons":
            for name in ("positive_button", "negative_button"):
                _plain(one[name]["text"], where, most=75)
                _length(one[name]["value"], f"{where}.value", least=1, most=2_000)
                _length(one[name].get("accessibility_label", ""), where, most=75)
        case "plain_text_input":
            shown = one.get("initial_value", "x")
            _length(shown, f"{where}.initial_value", least=1, most=min(3_000, _most(one)))
            _need(0 < _most(one) <= 3_000, f"{where}.max_length")
        case "number_input":
            shown = one.get("initial_value", "1")
            number = r"-?\d+" if not one["is_decimal_allowed"] else r"-?\d+(\.\d+)?"
            _need(re.fullmatch(number, shown) is not None, f"{where}.initial_value: {shown}")
        case "static_select":
            _many(one["options"], where, most=100)
            for option in one["options"]:
                _plain(option["text"], where, most=75)
                _length(option["value"], where, least=1, most=150)
            if "initial_option" in one:
                _need(one["initial_option"] in one["options"], f"{where}.initial_option")


def _most(one: Mapping[str, Any]) -> int:
    return int(one.get("max_length", 3_000))


def _confirm(found: Mapping[str, Any], where: str) -> None:
    most = {"title": 100, "text": 300, "confirm": 30, "deny": 30}
    _need({*found} <= {*most, "style"} and {*most} <= {*found}, f"{where}.confirm: {set(found)}")
    for name, limit in most.items():
        _plain(found[name], f"{where}.confirm.{name}", most=limit)


def _rich(elements: Any, where: str) -> None:
    _need(isinstance(elements, list) and bool(elements), f"{where}: empty")
    for one in elements:
        kind = one["type"]
        _need(
            kind in {"rich_text_section", "rich_text_preformatted", "rich_text_quote"},
            f"{where}: {kind}",
        )
        _need(bool(one["elements"]), f"{where}.{kind}: empty")
        for piece in one["elements"]:
            _need({*piece} <= {"type", "text", "style"}, f"{where}: {set(piece)}")
            _need(piece["type"] == "text", f"{where}: {piece['type']}")
            _length(piece["text"], f"{where}.{kind}", least=1, most=3_000)
            _need({*piece.get("style", {})} <= _STYLES, f"{where}: {piece.get('style')}")


def _text(found: Mapping[str, Any], where: str, *, most: int) -> None:
    if found["type"] == "plain_text":
        _plain(found, where, most=most)
        return
    _need(found["type"] == "mrkdwn", f"{where}: {found['type']}")
    _length(found["text"], where, least=1, most=most)
    _need(found.get("verbatim") is True, f"{where}: Slack would make links of its own")
    _no_call(found["text"], where)


def _no_call(markup: str, where: str) -> None:
    """Nobody is called, and no link is made: all that we mark up ourselves are dates."""
    found = _CALLED.search(markup)
    _need(found is None, f"{where}: {markup[found.start() if found else 0 :][:60]!r}")


def _plain(found: Mapping[str, Any], where: str, *, most: int) -> None:
    _need(found["type"] == "plain_text", f"{where}: {found['type']}")
    _length(found["text"], where, least=1, most=most)


def _keys(found: Mapping[str, Any], where: str, more: set[str]) -> None:
    needed, possible = _KEYS[found["type"]]
    given = {*found} - {"type"}
    _need(needed <= given, f"{where}: {needed - given} missing")
    _need(given <= needed | possible | more, f"{where}: {given - needed - possible - more}")


def _many(found: Any, where: str, *, most: int) -> None:
    _need(isinstance(found, list) and 1 <= len(found) <= most, f"{where}: {len(found)} of {most}")


def _length(found: Any, where: str, *, most: int, least: int = 0) -> None:
    _need(isinstance(found, str), f"{where}: {found!r} is no text")
    _need(least <= len(found) <= most, f"{where}: {len(found)} characters, {least} to {most}")


def _texts(found: Any) -> Iterator[str]:
    if isinstance(found, Mapping):
        for name, one in found.items():
            if name in {"text", "value"} and isinstance(one, str):
                yield one
            else:
                yield from _texts(one)
    elif isinstance(found, list):
        for one in found:
            yield from _texts(one)


def _need(holds: bool, words: str) -> None:
    if not holds:
        raise BrokenError(words)
