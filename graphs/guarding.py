"""Retrieved text on its way to a model, and answers on their way out: fenced, flagged, disarmed."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.runtime import Runtime

from graphs import events
from graphs.context import TeamContext
from graphs.evidence import Passage, numbered
from graphs.node import emit
from guardrails import grounding, injection, links
from tools.tool import ToolResult

OWN = "own_words"
"""Key in ``ToolResult.data``: nobody but this house wrote the content."""
NOTE = "note"
"""Key in ``ToolResult.data``: what is said in words of our own before the content."""


def data(text: str, *, plain: bool, beginning: str = "") -> str:
    """Text that somebody else wrote, marked as such for a model; see ``injection.fence``.

    Measured: a small model reads worse between marks; what protects it is what it cannot reach.
    """
    return text if plain else injection.fence(text, beginning=beginning).text


def brought(result: ToolResult, *, plain: bool) -> str:
    """What a call came to, for a model: data, unless these are words of our own."""
    note = str(result.data.get(NOTE) or "")
    text = result.content if result.data.get(OWN) else data(result.content, plain=plain)
    return f"{note}\n{text}" if note else text


def passages(found: Sequence[Passage], *, plain: bool) -> str:
    """Passages as a model reads them, numbered from 1."""
    return data(numbered(found), plain=plain, beginning=numbered(found[:1]))


def flag(
    result: ToolResult, *, agent: str, task_id: str, tool: str, runtime: Runtime[TeamContext]
) -> None:
    """Tell of each text in a result that tries to instruct whoever reads it."""
    if result.data.get(OWN):
        return
    texts = [
        (str(one.get("source") or one.get("title") or ""), str(one.get("text") or ""))
        for one in result.evidence
    ] or [(tool, result.content)]
    for source, text in texts:
        signs = list(dict.fromkeys(one.kind.value for one in injection.suspicions(text)))
        if signs:
            emit(
                runtime,
                events.DocumentSuspicious(
                    agent=agent, task_id=task_id, tool=tool, source=source, signs=signs
                ),
            )


def disarmed(text: str, *, context: TeamContext) -> str:
    """An answer whose links lead only where the operator allows."""
    return links.disarm(text, allowed=context.link_hosts).text


def unsupported_share(draft: str, claims: Sequence[str]) -> float:
    """Which share of a draft's sentences nothing supports: 0 to 1."""
    sentences = grounding.sentences(draft)
    wrong = set(claims)
    return sum(one in wrong for one in sentences) / len(sentences) if sentences else 0.0
