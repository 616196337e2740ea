"""What tests of runs ask for, and how they read what they are sent."""

from __future__ import annotations

import json
from typing import Any

from tests.server.surface import Sent

THREAD = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"
RUNS = f"/threads/{THREAD}/runs"
QUESTION: Any = {"messages": [{"type": "human", "content": "How long?"}]}


def ask(**more: Any) -> dict[str, Any]:
    return {"assistant_id": "team", "input": QUESTION, **more}


def steps(graph: str, **more: Any) -> dict[str, Any]:
    return {"assistant_id": graph, "input": {"steps": []}, **more}


def data(event: Sent) -> Any:
    return json.loads(event.data)


def named(events: list[Sent]) -> list[str]:
    return [event.event for event in events]


def cut(text: str) -> str:
    """The whole blocks of what has arrived."""
    return text.rpartition("\n\n")[0]
