"""The policy in the audit log: which rules hold, noted whenever a process starts with others."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, cast

from redis.asyncio import Redis

from graphs.keys import APPROVAL_NAMES, DEFAULT_TENANT, RUN_NAMES, Keys
from guardrails.policy import Rule
from server.approvals.stored import terms_shown
from server.audit import scripts
from server.audit.entry import Kind, Line, canonical, digest
from server.audit.log import words


async def note(redis: Redis, keys: Keys, rules: Sequence[Rule]) -> int:
    """Tell every tenant's log whose last policy is another one; replies how many it told.

    A log has the rules that can concern its tenant: what others have is told nobody else.
    """
    known = cast("set[bytes]", await cast("Any", redis.smembers(keys.tenants)))
    args: list[str] = []
    for tenant in sorted({DEFAULT_TENANT, *(name.decode() for name in known)}):
        shown = [_shown(rule) for rule in rules if fnmatchcase(tenant, rule.tenant)]
        sha = digest(canonical({"rules": shown}))
        line = Line(
            kind=Kind.POLICY_CHANGED,
            tenant=tenant,
            via="configuration",
            detail={"policy_sha256": sha, "rules": shown},
        )
        args += [keys.quoted(tenant), sha, *words(line)]
    script = redis.register_script(
        RUN_NAMES + APPROVAL_NAMES + scripts.CLOCK + scripts.AUDIT + scripts.POLICY
    )
    return int(await script(keys=[keys.prefix], args=args))


def _shown(rule: Rule) -> dict[str, Any]:
    """A rule, the same text for the same rule in every process."""
    return {
        "rule": rule.in_words,
        "reason": rule.reason,
        "arguments": dict(rule.arguments) if rule.arguments is not None else None,
        "terms": terms_shown(rule.terms),
    }
