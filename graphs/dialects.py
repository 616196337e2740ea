"""How graphs ask a person and how they want to be answered: three dialects and none. Pure.

agent-inbox     a request, or a list of them; answered ``[{"type", "args"}]``
HITLRequest     ``{"action_requests", "review_configs"}``; answered ``{"decisions": [...]}``
per call        ``{"type": "tool_approval", "name", "args"}``; answered with one decision
bare            whatever a graph asks; answered with whatever it was told

An answer is read in any of the dialects, with snake or camel case, whatever dialect the question
was in: agent-inbox answers in its own even where it was not asked in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphs.coercion import coerced
from graphs.questions import TYPES, Dialect, Reading, Requested, read
from guardrails.policy import Choice

__all__ = [
    "Dialect",
    "DialectError",
    "Given",
    "Reading",
    "Requested",
    "answer",
    "parse",
    "read",
]

EXPIRED_WORDS = "Nobody decided in time, so this was not done. It was not refused by a person."


class DialectError(ValueError):
    """An answer that cannot be read; ``field`` says where, as a path from the answer."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field


@dataclass(frozen=True, kw_only=True)
class Given:
    """One answer. ``choice`` is None where nobody answered in time.

    ``tool`` and ``args`` are those of an edit. ``raw`` is what a bare question was told as it is,
    where ``has_raw``.
    """

    choice: Choice | None
    tool: str = ""
    args: Mapping[str, Any] | None = None
    message: str | None = None
    raw: Any = None
    has_raw: bool = False


def parse(reading: Reading, answer: Any) -> list[Given]:
    """An answer to it, one for each request in their order. Raises DialectError.

    Edited arguments that came as text, as agent-inbox sends them, become what the schema or the
    asked arguments say.
    """
    if reading.dialect is Dialect.BARE:
        return [Given(choice=Choice.RESPOND, message=_words(answer), raw=answer, has_raw=True)]
    where, listed = _listed(answer)
    if len(listed) != len(reading.requests):
        raise DialectError(
            where,
            f"needs {len(reading.requests)} decision(s), in the order of the requests; "
            f"got {len(listed)}",
        )
    return [
        _given(one, request, where=f"{where}[{index}]" if where else f"[{index}]")
        for index, (one, request) in enumerate(zip(listed, reading.requests, strict=True))
    ]


def answer(dialect: Dialect, given: Sequence[Given], *, tools: Sequence[str] = ()) -> Any:
    """The answer to an interrupt as a graph expects it; ``tools`` are the names it asked about.

    ``given`` is never empty and in the order of the requests.
    """
    names = [*tools, *[""] * (len(given) - len(tools))]
    match dialect:
        case Dialect.INBOX:
            return [_as_inbox(one, name) for one, name in zip(given, names, strict=True)]
        case Dialect.HITL:
            decisions = [_as_decision(one, name) for one, name in zip(given, names, strict=True)]
            return {"decisions": decisions}
        case Dialect.PER_CALL:
            # A schema of the graph's own holds for this one: nothing that is not in every such.
            decision = _as_decision(given[0], names[0])
            extra = {"expired"} if decision["type"] in ("reject", "respond") else {"message"}
            return {name: one for name, one in decision.items() if name not in extra}
        case Dialect.BARE:
            return _as_bare(given[0])


def _listed(answer: Any) -> tuple[str, Sequence[Any]]:
    if isinstance(answer, Mapping):
        if "decisions" in answer:
            listed = answer["decisions"]
            if not isinstance(listed, list | tuple):
                raise DialectError("decisions", "must be a list of decisions")
            return "decisions", listed
        return "", [answer]
    if isinstance(answer, list | tuple):
        return "", answer
    if isinstance(answer, str) and answer in TYPES:
        return "", [{"type": answer}]
    raise DialectError(
        "",
        'is no decision; give {"decisions": [{"type": "approve"}]}, with approve, edit, reject or '
        "respond",
    )


def _given(one: Any, request: Requested, *, where: str) -> Given:
    kind = one.get("type") if isinstance(one, Mapping) else None
    choice = TYPES.get(kind) if isinstance(kind, str) else None
    if choice is None:
        raise DialectError(f"{where}.type", "must be approve, edit, reject or respond")
    if choice is Choice.REJECT and one.get("expired") is True:
        return Given(choice=None, message=_text(one, "message"))
    if choice not in request.choices:
        allowed = ", ".join(sorted(request.choices))
        raise DialectError(f"{where}.type", f"{choice} is not open here; choose {allowed}")
    match choice:
        case Choice.APPROVE:
            return Given(choice=choice, message=_text(one, "message"))
        case Choice.EDIT:
            return _edited(one, request, where=where)
        case Choice.REJECT:
            return Given(choice=choice, message=_text(one, "message") or _text(one, "args"))
        case Choice.RESPOND:
            told = _text(one, "message") or _text(one, "args")
            if told is None:
                raise DialectError(f"{where}.message", "is missing: say what is answered")
            return Given(choice=choice, message=told)


def _edited(one: Mapping[str, Any], request: Requested, *, where: str) -> Given:
    name = "editedAction" if "editedAction" in one else "edited_action"
    action = one.get(name)
    if action is None and "args" in one:
        # agent-inbox: {"type": "edit", "args": {"action", "args"}}; some send arguments alone.
        name, action = "args", one["args"]
        if isinstance(action, Mapping) and not {"action", "name"} & set(action):
            action = {"name": request.tool, "args": action}
    if not isinstance(action, Mapping):
        raise DialectError(f"{where}.{name}", "must be an object with name and args")
    tool = action.get("name", action.get("action", request.tool))
    args = action.get("args", action.get("arguments"))
    if tool != request.tool:
        raise DialectError(
            f"{where}.{name}.name", f"an edit changes arguments only; the tool is {request.tool}"
        )
    if not isinstance(args, Mapping) or not all(isinstance(key, str) for key in args):
        raise DialectError(f"{where}.{name}.args", "must be an object")
    return Given(
        choice=Choice.EDIT,
        tool=request.tool,
        args=coerced(args, schema=request.schema, asked=request.args),
        message=_text(one, "message"),
    )


def _as_inbox(given: Given, name: str) -> dict[str, Any]:
    match given.choice:
        case None:
            return {"type": "ignore", "args": given.message or EXPIRED_WORDS, "expired": True}
        case Choice.EDIT:
            edited = {"action": given.tool or name, "args": dict(given.args or {})}
            return {"type": "edit", "args": edited}
        case Choice.RESPOND:
            return {"type": "response", "args": given.message or ""}
        case Choice.REJECT:
            return {"type": "ignore", "args": given.message}
        case Choice.APPROVE:
            return {"type": "accept", "args": None}


def _as_decision(given: Given, name: str) -> dict[str, Any]:
    match given.choice:
        case None:
            words = given.message or EXPIRED_WORDS
            return {"type": "reject", "message": words, "expired": True}
        case Choice.EDIT:
            edited = {"name": given.tool or name, "args": dict(given.args or {})}
            return {"type": "edit", "edited_action": edited, **_said(given)}
        case Choice.RESPOND:
            return {"type": "respond", "message": given.message or ""}
        case Choice.REJECT:
            return {"type": "reject", **_said(given)}
        case Choice.APPROVE:
            return {"type": "approve", **_said(given)}


def _as_bare(given: Given) -> Any:
    """What a graph of one's own is told: the words, the arguments, or yes and no."""
    if given.has_raw:
        return given.raw
    match given.choice:
        case Choice.RESPOND:
            return given.message
        case Choice.EDIT:
            return dict(given.args or {})
        case Choice.APPROVE:
            return True
        case Choice.REJECT | None:
            return False


def _said(given: Given) -> dict[str, str]:
    return {"message": given.message} if given.message else {}


def _text(one: Mapping[str, Any], name: str) -> str | None:
    value = one.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(value)
