"""What agents may do: ordered rules over tools and agents; no match denies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase


class Decision(StrEnum):
    """What a rule does with a call that it matches."""

    ALLOW = "allow"
    DENY = "deny"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the policy; ``tool`` and ``agent`` are case-sensitive globs."""

    tool: str
    decision: Decision
    agent: str = "*"
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class PolicyVerdict:
    """What was decided for one call, and which rule did (None: no rule matched)."""

    decision: Decision
    reason: str
    rule: int | None

    @property
    def allowed(self) -> bool:
        return self.decision is Decision.ALLOW


def decide(rules: Sequence[Rule], *, agent: str, tool: str) -> PolicyVerdict:
    """The first rule that matches decides; where none does, the call is denied."""
    for index, rule in enumerate(rules):
        if fnmatchcase(tool, rule.tool) and fnmatchcase(agent, rule.agent):
            reason = rule.reason or f"rule {index + 1} of the policy"
            return PolicyVerdict(decision=rule.decision, reason=reason, rule=index)
    return PolicyVerdict(
        decision=Decision.DENY, reason=f"no rule of the policy allows {tool}", rule=None
    )
