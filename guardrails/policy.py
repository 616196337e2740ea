"""What agents may do: ordered rules over calls; the first match decides, no match denies.

A rule looks at the tool, the agent, the tenant, the requester's roles and the arguments; no text
of a model, a person or a document reaches it any other way. Where the arguments do not tell (a
field is missing, of another type, in doubt) a rule that allows does not match, and a rule that
asks or denies does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from guardrails import conditions, schemas, truth
from guardrails.conditions import Condition
from guardrails.truth import Truth


class Decision(StrEnum):
    """What a rule does with a call that it matches."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


class Choice(StrEnum):
    """What an approver may answer."""

    APPROVE = "approve"
    EDIT = "edit"
    REJECT = "reject"
    RESPOND = "respond"


class OnExpiry(StrEnum):
    """What follows when nobody decided in time."""

    REJECT = "reject"  # the call does not run, and the model is told
    FAIL = "fail"  # the run ends


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How a call that is asked about is decided.

    ``roles``: who may decide; ``quorum``: how many different people have to agree;
    ``self_approval``: whether the requester is one of them; ``remember``: whether the answer holds
    for equal calls of the same run; ``critical``: shown as such.
    """

    expires_seconds: float = 86_400.0
    on_expiry: OnExpiry = OnExpiry.REJECT
    roles: frozenset[str] = frozenset({"operator"})
    quorum: int = 1
    self_approval: bool = False
    choices: frozenset[Choice] = frozenset(Choice)
    remember: bool = False
    critical: bool = False


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call that an agent wants to make; ``roles`` are those of who asked for the run."""

    tool: str
    args: Mapping[str, Any] = field(default_factory=dict)
    agent: str
    tenant: str = "default"
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; ``tool``, ``agent`` and ``tenant`` are case-sensitive globs, no ``roles`` is any.

    ``arguments`` is a JSON Schema that guardrails.schemas.check has accepted.
    """

    tool: str
    decision: Decision
    agent: str = "*"
    tenant: str = "*"
    roles: tuple[str, ...] = ()
    when: tuple[Condition, ...] = ()
    arguments: Mapping[str, Any] | None = None
    reason: str = ""
    terms: Terms = field(default_factory=Terms)

    @property
    def in_words(self) -> str:
        """The rule as a sentence, such as `ask for refund_* by coder when amount > 100`."""
        verb = "ask for" if self.decision is Decision.ASK else str(self.decision)
        parts = [f"{verb} {self.tool}"]
        if self.agent != "*":
            parts.append(f"by {self.agent}")
        if self.tenant != "*":
            parts.append(f"of {self.tenant}")
        if self.roles:
            parts.append(f"asked for by {' or '.join(self.roles)}")
        if self.when:
            parts.append("when " + " and ".join(one.text for one in self.when))
        if self.arguments is not None:
            parts.append(f"{'and' if self.when else 'when'} the arguments fit its schema")
        return " ".join(parts)


@dataclass(frozen=True, kw_only=True)
class PolicyVerdict:
    """What was decided for one call, and which rule did (``rule`` is None: none matched).

    ``reason`` is for the model and for people, ``name`` the rule in words. ``doubts`` says what
    the arguments did not tell, where that is why a rule that asks or denies matched.
    """

    decision: Decision
    reason: str
    rule: int | None
    terms: Terms = field(default_factory=Terms)
    name: str = ""
    doubts: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the call may run with nobody asked."""
        return self.decision is Decision.ALLOW


@dataclass(frozen=True, kw_only=True)
class Miss:
    """A rule that did not match, and why, in words."""

    rule: int
    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A verdict, and the rules before it that did not match."""

    verdict: PolicyVerdict
    misses: tuple[Miss, ...]


def decide(rules: Sequence[Rule], call: Call) -> PolicyVerdict:
    """The first rule that matches decides; where none does, the call is denied."""
    return explain(rules, call).verdict


def explain(rules: Sequence[Rule], call: Call) -> Explanation:
    """The verdict for a call, with why each rule before the one that decided did not match."""
    misses: list[Miss] = []
    for index, rule in enumerate(rules):
        found = list(_looked_at(rule, call))
        holds = truth.every(truth_of for truth_of, _ in found)
        if holds is Truth.YES or (holds is Truth.UNKNOWN and rule.decision is not Decision.ALLOW):
            verdict = PolicyVerdict(
                decision=rule.decision,
                reason=rule.reason or f"rule {index + 1} of the policy",
                rule=index,
                terms=rule.terms,
                name=f"rule {index + 1}: {rule.in_words}",
                doubts=tuple(why for one, why in found if one is Truth.UNKNOWN),
            )
            return Explanation(verdict=verdict, misses=tuple(misses))
        worst = Truth.NO if holds is Truth.NO else Truth.UNKNOWN
        why = next(words for one, words in found if one is worst)
        misses.append(Miss(rule=index, name=f"rule {index + 1}: {rule.in_words}", why=why))
    verdict = PolicyVerdict(
        decision=Decision.DENY,
        reason=f"no rule of the policy allows {call.tool}",
        rule=None,
        name="no rule",
    )
    return Explanation(verdict=verdict, misses=tuple(misses))


def shadows(earlier: Rule, later: Rule) -> bool:
    """Whether ``earlier`` plainly takes every call that ``later`` could match."""
    if earlier.when or earlier.arguments is not None:
        return False
    wider = (
        pattern in ("*", other)
        for pattern, other in (
            (earlier.tool, later.tool),
            (earlier.agent, later.agent),
            (earlier.tenant, later.tenant),
        )
    )
    roles = not earlier.roles or (bool(later.roles) and set(later.roles) <= set(earlier.roles))
    return all(wider) and roles


def _looked_at(rule: Rule, call: Call) -> Iterator[tuple[Truth, str]]:
    """Each thing that the rule looks at: whether it fits, and what is there, in words."""
    for pattern, value, what in (
        (rule.tool, call.tool, "tool"),
        (rule.agent, call.agent, "agent"),
        (rule.tenant, call.tenant, "tenant"),
    ):
        yield truth.of(fnmatchcase(value, pattern)), f"the {what} is {value}, not {pattern}"
    if rule.roles:
        held = ", ".join(sorted(call.roles)) or "none"
        wanted = " or ".join(rule.roles)
        fits = not call.roles.isdisjoint(rule.roles)
        yield truth.of(fits), f"the requester's roles are {held}, not {wanted}"
    for condition in rule.when:
        found = conditions.judge(condition, call.args)
        yield found, f"{conditions.why(condition, call.args)}, so `{condition.text}` {_said(found)}"
    if rule.arguments is not None:
        found = schemas.judge(rule.arguments, dict(call.args))
        yield found, f"that the arguments fit the rule's schema {_said(found)}"


def _said(found: Truth) -> str:
    return {Truth.YES: "holds", Truth.NO: "does not hold"}.get(found, "cannot be told")
