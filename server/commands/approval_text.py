"""Approvals in words, for a terminal. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

COLUMNS = {
    "approval": "id",
    "state": "state",
    "left": "left",
    "agent": "agent",
    "tool": "tool",
    "arguments": "args",
    "asked by": "requested_by",
    "rule": "rule",
}
_SHORT = 120


def row(one: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the list."""
    return {**one, "args": _short(said(one["args"])), "state": _state(one), "left": left(one)}


def line(one: Mapping[str, Any]) -> str:
    """An approval on one line, with what was decided last."""
    last = one["decisions"][-1] if one["decisions"] else None
    who = f" by {last['decider']}" if last else ""
    return f"{one['id']}: {_state(one)}{who}: {one['tool']} {said(one['args'])}"


def fields(one: Mapping[str, Any]) -> dict[str, Any]:
    """All that an approver looks at, in the order in which he does."""
    context = dict(one["context"])
    told: dict[str, Any] = {
        "approval": one["id"],
        "state": _state(one),
        "time left": left(one),
        "asked by": one["requested_by"],
        "question": context.pop("question", None),
        "plan": context.pop("plan", None),
        "agent": one["agent"],
        "tool": one["tool"],
        "description": one["description"],
    }
    told.update(_arguments(one))
    told |= {
        "sha256": one["args_sha256"],
        "rule": one["rule"],
        "reason": one["reason"],
        "evidence": context.pop("evidence", None),
        "cost so far": context.pop("usage", None),
        **context,
        "open": ", ".join(one.get("open_choices") or ()),
        "quorum": _quorum(one),
        "claimed by": one["claimed_by"],
        "asked": one["requested_at"],
        "expires": one["expires_at"] if one["status"] == "pending" else None,
        "run": one["run_id"],
        "thread": one["thread_id"],
    }
    for number, decision in enumerate(one["decisions"], start=1):
        told[f"decision {number}"] = _decision(decision)
    return told | {"ended": one["decided_at"], "because": one["because"], "ran": one["used_at"]}


def totals(found: Mapping[str, Any]) -> str:
    """Below a list: how many there are."""
    counts = found["counts"]
    shown, total = len(found["items"]), found["total"]
    of = f"{shown} of {total}" if shown != total else f"{total}"
    return f"{of} shown; {counts['pending']} wait"


def left(one: Mapping[str, Any]) -> str:
    """How long there is to decide."""
    seconds = one.get("seconds_left")
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def said(args: Mapping[str, Any]) -> str:
    """Arguments as one reads them."""
    told = ((_named(name), json.dumps(one, ensure_ascii=False)) for name, one in args.items())
    return ", ".join(f"{name}={one}" for name, one in told)


def _arguments(one: Mapping[str, Any]) -> dict[str, str]:
    """One line an argument; what was edited with what stood there before."""
    now, before = one["args"], one["requested_args"]
    told = {}
    for name in [*before, *(name for name in now if name not in before)]:
        new = json.dumps(now[name], ensure_ascii=False) if name in now else "(left out)"
        old = json.dumps(before[name], ensure_ascii=False) if name in before else "(not there)"
        told[f"  {_named(name)}"] = new if new == old else f"{old} -> {new}"
    return told


def _named(name: str) -> str:
    """An argument's name on one line, which looks like nothing else."""
    return name if name.isidentifier() else json.dumps(name, ensure_ascii=False)


def _state(one: Mapping[str, Any]) -> str:
    status = str(one["status"])
    if status == "pending" and one["claimed_by"]:
        return f"pending, {one['claimed_by']} is at it"
    return status


def _quorum(one: Mapping[str, Any]) -> str | None:
    needed = one["terms"]["quorum"]
    return f"{one['consents']} of {needed} agree" if needed > 1 else None


def _decision(one: Mapping[str, Any]) -> str:
    words = f": {one['message']}" if one["message"] else ""
    edited = f" to {said(one['args'])}" if one["args"] else ""
    return f"{one['decision']}{edited} by {one['decider']} ({one['via']}) at {one['at']}{words}"


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"
