"""Recorded calls through a policy: what would change. Pure; the calls come as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guardrails import policy


def verdict_of(rules: Sequence[policy.Rule], item: Mapping[str, Any]) -> dict[str, Any]:
    """What a policy says to a recorded call: the decision, the rule's place and its words."""
    call = policy.Call(
        tool=item["tool"],
        args=item["args"],
        agent=item["agent"],
        tenant=item["tenant"],
        roles=frozenset(item["roles"]),
    )
    verdict = policy.decide(rules, call)
    return {"decision": verdict.decision.value, "rule": verdict.rule, "name": verdict.name}


def changes(items: Sequence[Mapping[str, Any]], rules: Sequence[policy.Rule]) -> list[Any]:
    """The calls whose decision would be another under ``rules``, in groups, the largest first.

    A group is one tool of one agent with one decision before and after; it has its size, the rule
    that would decide, and its first call as an example.
    """
    groups: dict[tuple[str, str, str, str, str], dict[str, Any]] = {}
    for item in items:
        before, after = item["verdict"], verdict_of(rules, item)
        if before["decision"] == after["decision"]:
            continue
        key = (item["tool"], item["agent"], before["decision"], after["decision"], after["name"])
        group = groups.setdefault(
            key,
            {
                "calls": 0,
                "tool": item["tool"],
                "agent": item["agent"],
                "before": before["decision"],
                "after": after["decision"],
                "rule": after["name"],
                "example": {name: item[name] for name in ("run_id", "at", "args")},
            },
        )
        group["calls"] += 1
    return sorted(groups.values(), key=lambda group: -int(group["calls"]))
