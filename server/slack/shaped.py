"""The shape of what Slack sends: checked before anybody works with it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.slack.refusals import UnreadableError
from server.wire.messages import storable

DEEPEST = 100
"""Slack's own messages nest about ten deep."""
_OBJECTS = (
    ("event",),
    ("event", "assistant_thread"),
    ("user",),
    ("team",),
    ("channel",),
    ("container",),
    ("message",),
    ("view",),
    ("view", "state"),
    ("view", "state", "values"),
)
_LARGEST = 2**63 - 1


def check(body: Mapping[str, Any]) -> None:
    """Raises UnreadableError, which names what is of another type than Slack sends there."""
    if _is_deep(body):
        raise UnreadableError(f"it is nested more than {DEEPEST} deep")
    for path in _OBJECTS:
        found: Any = body
        for name in path:
            found = found.get(name)
            if found is None:
                break
            if not isinstance(found, Mapping):
                raise UnreadableError(f"{'.'.join(path)} is no object")
    match body.get("type"):
        case "event_callback":
            event = body.get("event")
            if not isinstance(event, Mapping) or not isinstance(event.get("type"), str):
                raise UnreadableError("event has no type")
        case "block_actions":
            _check_actions(body.get("actions"))
        case "view_submission":
            view = body.get("view")
            for name in ("type", "callback_id"):
                if not isinstance(view, Mapping) or not isinstance(view.get(name), str):
                    raise UnreadableError(f"view has no {name}")


def cleaned(value: Any) -> Any:
    """The same without what JSON can spell and Redis, or the next wire, cannot hold."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(name): cleaned(one) for name, one in value.items()}
        case list():
            return [cleaned(one) for one in value]
        case int() if abs(value) > _LARGEST:
            return float(value) if value.bit_length() < 1_000 else None
        case _:
            return value


def _check_actions(actions: Any) -> None:
    if not isinstance(actions, list) or not actions:
        raise UnreadableError("actions is no list with an action in it")
    for one in actions:
        if not isinstance(one, Mapping) or not isinstance(one.get("action_id"), str):
            raise UnreadableError("an action has no action_id")


def _is_deep(body: Mapping[str, Any]) -> bool:
    level: list[Any] = [body]
    for _ in range(DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True
