"""The dialogs of an approval: edit, reject with a reason, answer instead, look at all of it. Pure.

A dialog carries what its button carried (``cards.Reference``) and where the card stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.approvals.record import Approval, Kind
from server.slack import blocks, cards, forms, text
from server.slack.blocks import Block
from server.slack.cards import Reference

EDITED = "approval_edited"
REJECTED = "approval_rejected"
RESPONDED = "approval_responded"
SUBMITTED = (EDITED, REJECTED, RESPONDED)
MESSAGE = "message"

_MOST_MESSAGE = 3_000


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What a dialog was opened for; ``channel`` and ``ts`` are its card's, empty at home."""

    reference: Reference
    channel: str = ""
    ts: str = ""
    thread_ts: str = ""

    @staticmethod
    def read(metadata: str) -> Opened | None:
        """The reverse of ``str``; None for anything else."""
        try:
            found = json.loads(metadata)
            reference = Reference.read(str(found.get("a", "")))
            places = {name: str(found.get(key, "")) for name, key in _PLACES.items()}
        except (ValueError, AttributeError, RecursionError):
            return None
        return Opened(reference=reference, **places) if reference is not None else None

    def __str__(self) -> str:
        told = {"a": str(self.reference)}
        told |= {key: getattr(self, name) for name, key in _PLACES.items() if getattr(self, name)}
        return json.dumps(told)


_PLACES = {"channel": "c", "ts": "m", "thread_ts": "t"}


def edit(one: Approval, opened: Opened) -> Block:
    """The arguments as a form; what is sent is decided as an edit."""
    shown = forms.fields(one.schema, one.final_args)
    about = f"{text.bold(one.agent, 100) or 'The run'} wants to use {text.code(one.tool, 200)}."
    if one.kind is Kind.LIMIT:
        about = f"{text.escaped(one.reason or one.description, 600)}"
    head = [blocks.section(f"{about} It runs with what you send, in your name.")]
    controls = forms.form(shown, one.final_args)
    if not any(block["type"] == "input" for block in controls):
        return blocks.modal("Edit", [*head, *controls])
    marked = any(field.required for field in shown)
    note = [blocks.context("What has an asterisk is needed.")] if marked else []
    critical = [blocks.context(":warning: This is critical.")] if one.terms.critical else []
    return blocks.modal(
        "Raise the limit" if one.kind is Kind.LIMIT else "Edit and approve",
        [*head, *critical, *controls, *note],
        callback=EDITED,
        submit="Approve",
        close="Cancel",
        metadata=str(opened),
    )


def reject(one: Approval, opened: Opened) -> Block:
    """The reason, which the model is told."""
    title = "Leave the limit" if one.kind is Kind.LIMIT else "Reject"
    words = f"{text.code(one.tool, 200)} will not run." if one.tool else "It will not go on."
    if one.kind is Kind.LIMIT:
        words = "The answer stays as it is."
    return _said(
        opened,
        title=title,
        words=words,
        callback=REJECTED,
        label="Why?",
        hint="The model reads it, and it stands in the audit log.",
        submit="Reject" if one.kind is not Kind.LIMIT else "Leave it",
    )


def respond(one: Approval, opened: Opened) -> Block:
    """What the model gets in place of the tool's result."""
    words = f"{text.code(one.tool, 200)} will not run. " if one.tool else ""
    return _said(
        opened,
        title="Answer instead",
        words=f"{words}What you write is given to the model in its place.",
        callback=RESPONDED,
        label="Answer",
        hint="",
        submit="Answer",
    )


def whole(one: Approval) -> Block:
    """All arguments, however long."""
    pieces = cards.whole(one)
    most = blocks.MOST_VIEW_BLOCKS - 2
    shown = [blocks.preformatted(piece) for piece in pieces[:most]]
    more = []
    if len(pieces) > most:
        more = [blocks.context("There is more than Slack shows: look at it in the console.")]
    head = f"{text.bold(one.tool, 200) or 'Arguments'}\n`{one.args_sha256[:16]}…`"
    return blocks.modal("All arguments", [blocks.section(head), *shown, *more])


def notice(title: str, words: str) -> Block:
    """Something said privately, where there is no message to say it under."""
    return blocks.modal(title, [blocks.section(text.escaped(words, blocks.MOST_TEXT))])


def message_of(view: Any) -> str:
    """The text that was typed into a dialog with one text field."""
    found = view
    for name in ("state", "values", MESSAGE, forms.VALUE, "value"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, str) else ""


def _said(
    opened: Opened,
    *,
    title: str,
    words: str,
    callback: str,
    label: str,
    hint: str,
    submit: str,
) -> Block:
    element = {
        "type": "plain_text_input",
        "action_id": forms.VALUE,
        "multiline": True,
        "max_length": _MOST_MESSAGE,
        "focus_on_load": True,
    }
    field: Block = {
        "type": "input",
        "block_id": MESSAGE,
        "label": blocks.plain(label, 200),
        "element": element,
        "optional": False,
    }
    if hint:
        field["hint"] = blocks.plain(hint, 300)
    return blocks.modal(
        title,
        [blocks.section(words), field],
        callback=callback,
        submit=submit,
        close="Cancel",
        metadata=str(opened),
    )
