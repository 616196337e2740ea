"""What a graph asks a person, read in each way in which graphs ask. Pure.

agent-inbox     a request, or a list of them
HITLRequest     ``{"action_requests", "review_configs"}``
per call        ``{"type": "tool_approval", "name", "args"}``
bare            anything else
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from guardrails.policy import Choice


class Dialect(StrEnum):
    """How a question is written, and so its answer. Stored names are forever."""

    INBOX = "agent_inbox"
    HITL = "hitl"
    PER_CALL = "per_call"
    BARE = "bare"


@dataclass(frozen=True, kw_only=True)
class Requested:
    """One thing that a person is asked. ``schema`` is of its arguments, where the graph says it."""

    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""
    choices: frozenset[Choice] = frozenset(Choice)
    schema: Mapping[str, Any] | None = None
    call_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """An interrupt's value, understood."""

    dialect: Dialect
    requests: tuple[Requested, ...]


TYPES = {
    "approve": Choice.APPROVE,
    "accept": Choice.APPROVE,
    "edit": Choice.EDIT,
    "reject": Choice.REJECT,
    "ignore": Choice.REJECT,
    "respond": Choice.RESPOND,
    "response": Choice.RESPOND,
}
_INBOX_ALLOWS = {
    "allow_accept": Choice.APPROVE,
    "allow_edit": Choice.EDIT,
    "allow_ignore": Choice.REJECT,
    "allow_respond": Choice.RESPOND,
}


def read(value: Any, *, response_schema: Mapping[str, Any] | None = None) -> Reading:
    """What an interrupt asks, and in which dialect; never fails: what nobody knows is bare."""
    if isinstance(value, Mapping):
        if (found := _hitl(value)) is not None:
            return Reading(dialect=Dialect.HITL, requests=found)
        if value.get("type") == "tool_approval" and isinstance(value.get("name"), str):
            one = _per_call(value, response_schema or _get(value, "response_schema"))
            return Reading(dialect=Dialect.PER_CALL, requests=(one,))
    listed = value if isinstance(value, list | tuple) else [value]
    inbox = [_inbox(one) for one in listed]
    if inbox and all(one is not None for one in inbox):
        requests = tuple(one for one in inbox if one is not None)
        return Reading(dialect=Dialect.INBOX, requests=requests)
    return Reading(dialect=Dialect.BARE, requests=(_bare(value),))


def _hitl(value: Mapping[str, Any]) -> tuple[Requested, ...] | None:
    actions = _get(value, "action_requests")
    if not isinstance(actions, list | tuple) or not actions:
        return None
    configs = _get(value, "review_configs")
    reviews: dict[str, Mapping[str, Any]] = {}
    for one in configs if isinstance(configs, list | tuple) else ():
        if isinstance(one, Mapping):
            reviews.setdefault(str(_get(one, "action_name")), one)
    found = []
    for one in actions:
        name = _get(one, "name") or _get(one, "action") if isinstance(one, Mapping) else None
        if not isinstance(name, str):
            return None
        args = one.get("args", one.get("arguments"))
        review = reviews.get(name, {})
        schema = _get(review, "args_schema")
        found.append(
            Requested(
                tool=name,
                args=args if isinstance(args, Mapping) else {},
                description=str(one.get("description") or ""),
                choices=_choices(_get(review, "allowed_decisions")),
                schema=schema if isinstance(schema, Mapping) else None,
            )
        )
    return tuple(found)


def _per_call(value: Mapping[str, Any], response_schema: Any) -> Requested:
    args = value.get("args")
    found = _edit_schema(response_schema)
    allowed = _get(value, "allowed_decisions")
    return Requested(
        tool=value["name"],
        args=args if isinstance(args, Mapping) else {},
        description=str(value.get("description") or ""),
        choices=_choices(allowed) if allowed else _schema_choices(response_schema),
        schema=found,
        call_id=str(_get(value, "tool_call_id") or ""),
    )


def _inbox(value: Any) -> Requested | None:
    action = _get(value, "action_request") if isinstance(value, Mapping) else None
    if not isinstance(action, Mapping) or not isinstance(action.get("action"), str):
        return None
    args = action.get("args")
    config = value.get("config")
    allowed = config if isinstance(config, Mapping) else {}
    known = {name for name in _INBOX_ALLOWS if _get(allowed, name) is not None}
    choices = {_INBOX_ALLOWS[name] for name in known if _get(allowed, name)}
    return Requested(
        tool=action["action"],
        args=args if isinstance(args, Mapping) else {},
        description=str(value.get("description") or ""),
        choices=frozenset(choices) if known else frozenset(Choice),
    )


def _bare(value: Any) -> Requested:
    args = value if isinstance(value, Mapping) else {"value": value}
    told = next(
        (
            args[name]
            for name in ("question", "description", "message", "title")
            if isinstance(args.get(name), str)
        ),
        value if isinstance(value, str) else "",
    )
    return Requested(
        tool="interrupt",
        args={str(name): one for name, one in args.items()},
        description=told,
        choices=frozenset({Choice.APPROVE, Choice.EDIT, Choice.REJECT, Choice.RESPOND}),
    )


def _choices(allowed: Any) -> frozenset[Choice]:
    named = allowed if isinstance(allowed, list | tuple) else ()
    found = {TYPES[one] for one in named if isinstance(one, str) and one in TYPES}
    return frozenset(found) or frozenset(Choice)


def _schemas(schema: Any) -> list[Mapping[str, Any]]:
    """The decisions among which a response schema lets one choose."""
    if not isinstance(schema, Mapping):
        return []
    many = schema.get("oneOf") or schema.get("anyOf") or [schema]
    definitions = schema.get("$defs") or {}
    found = []
    for one in many if isinstance(many, list | tuple) else ():
        if isinstance(one, Mapping) and isinstance(one.get("$ref"), str):
            one = definitions.get(one["$ref"].rpartition("/")[2])
        if isinstance(one, Mapping):
            found.append(one)
    return found


def _schema_type(schema: Mapping[str, Any]) -> str:
    kind = properties(schema).get("type")
    if not isinstance(kind, Mapping):
        return ""
    if isinstance(kind.get("const"), str):
        return str(kind["const"])
    listed = kind.get("enum")
    return str(listed[0]) if isinstance(listed, list) and len(listed) == 1 else ""


def _schema_choices(schema: Any) -> frozenset[Choice]:
    named = {_schema_type(one) for one in _schemas(schema)}
    return frozenset(TYPES[one] for one in named if one in TYPES) or frozenset(Choice)


def _edit_schema(schema: Any) -> Mapping[str, Any] | None:
    for one in _schemas(schema):
        if _schema_type(one) == "edit":
            action = properties(one).get("edited_action")
            args = properties(action).get("args")
            if isinstance(args, Mapping) and "properties" in args:
                return args
    return None


def _get(value: Any, name: str) -> Any:
    """A field by its snake-case name, or as JavaScript writes it."""
    if not isinstance(value, Mapping):
        return None
    if name in value:
        return value[name]
    head, *rest = name.split("_")
    return value.get(head + "".join(part.capitalize() for part in rest))


def properties(schema: Any) -> Mapping[str, Any]:
    """What a JSON schema says of an object's fields; empty where it says nothing."""
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}
