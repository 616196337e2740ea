"""What stands under an answer and while it is made: sources, buttons, the team's steps. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guardrails.limits import Limit
from server.slack import blocks, text
from server.slack.blocks import Block

STOP = "answer_stop"
FEEDBACK = "answer_feedback"
UP, DOWN = "up", "down"

_LOOP = "loop"
_CUT_SHORT = frozenset({_LOOP, *(one.value for one in Limit)})
_MOST_SOURCES = 10
_MOST_SOURCE = 260
_MOST_STEPS = 12


def under_answer(
    run_id: str, sources: Sequence[Mapping[str, Any]], *, stopped: str = ""
) -> list[Block]:
    """Below a finished answer: a limit that stopped it, its sources, thumbs up and down.

    ``stopped`` is the run's ``stop_reason``; one that is no limit needs no word here.
    """
    found = []
    if stopped in _CUT_SHORT:
        words = "an agent went round in circles" if stopped == _LOOP else f"{stopped} is reached"
        found.append(blocks.context(f":warning: Cut short: {words}."))
    if sources:
        found.append(source_list(sources))
    return [*found, feedback(run_id)]


def source_list(sources: Sequence[Mapping[str, Any]]) -> Block:
    """The sources, numbered as the answer's marks are: a document, a page, a heading on a line."""
    lines: list[Block] = [blocks.piece("Sources", "bold")]
    for one in sources[:_MOST_SOURCES]:
        told = text.visible(_source(one))
        lines.append(blocks.piece(f"\n[{one.get('number', '?')}] "))
        lines.append(blocks.piece(text.clipped(told, _MOST_SOURCE)))
    if len(sources) > _MOST_SOURCES:
        lines.append(blocks.piece(f"\n… and {len(sources) - _MOST_SOURCES} more", "italic"))
    return blocks.rich(blocks.line(*lines))


def feedback(run_id: str) -> Block:
    """Thumbs up and down, kept with the run."""
    return {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": FEEDBACK,
                "positive_button": {
                    "text": blocks.plain("Good answer", blocks.MOST_BUTTON),
                    "accessibility_label": "This answer is good",
                    "value": f"{UP}:{run_id}"[: blocks.MOST_VALUE],
                },
                "negative_button": {
                    "text": blocks.plain("Bad answer", blocks.MOST_BUTTON),
                    "accessibility_label": "This answer is bad",
                    "value": f"{DOWN}:{run_id}"[: blocks.MOST_VALUE],
                },
            }
        ],
    }


def stop_button(run_id: str) -> Block:
    """Ends the run; what it has so far stays."""
    return blocks.button("Stop", action=STOP, value=run_id, label="Stop this answer")


def working(run_id: str, steps: Sequence[str]) -> Mapping[str, Any]:
    """The message while there is no answer yet: what the team has done and does now."""
    lines = [text.escaped(" ".join(one.split()), 150) for one in steps[-_MOST_STEPS:]]
    done = [f":white_check_mark: {one}" for one in lines[:-1]]
    now = f":hourglass_flowing_sand: *{lines[-1].replace('*', '∗')}*" if lines else "*Working …*"
    shown = [blocks.context("\n".join([*done, now])), blocks.actions([stop_button(run_id)])]
    return blocks.message(shown, words=steps[-1] if steps else "Working …")


def how_to_get_in(*, user: str, team: str, help_words: str = "") -> Mapping[str, Any]:
    """For somebody whom nobody has let in: what to ask for, and whom."""
    words = (
        "I do not know you yet, so I cannot answer. Whoever runs this server can let you in: "
        f"your member id is {text.code(user, 40)}, your workspace's {text.code(team, 40)}."
    )
    entry = f'[[slack_people]]\nuser = "{_quoted(user)}"\nroles = ["user"]'
    made = [
        blocks.section(f":wave: {words}"),
        blocks.context("It takes these lines in their configuration:"),
        blocks.preformatted(entry),
    ]
    if help_words:
        made.insert(1, blocks.section(text.escaped(help_words, 500)))
    return blocks.message(made, words="I do not know you yet; ask whoever runs this server.")


def _quoted(word: str) -> str:
    return "".join(each for each in word if each.isalnum())


def _source(one: Mapping[str, Any]) -> str:
    title = str(one.get("title") or one.get("source") or one.get("document_id") or "a document")
    parts = [title]
    if one.get("page") is not None:
        parts.append(f"page {one['page']}")
    if one.get("heading"):
        parts.append(str(one["heading"]))
    return ", ".join(" ".join(part.split()) for part in parts)
