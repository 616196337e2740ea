"""``[[policy]]`` of ``counterpoint.toml``: each rule read and checked when the process starts."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from guardrails import conditions, policy, schemas
from server.sections import CallerRole, KeySettings

_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

LONGEST_SECONDS = 36_500 * 86_400.0
"""How long an approval may wait: what lies far beyond that is no date any more."""


class RuleSettings(BaseModel):
    """One rule of the tool policy: the first match wins, no match denies.

    What stands behind ``reason`` is for rules that ask.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tool: str = Field(min_length=1, description="glob over tool names")
    agent: str = Field(default="*", min_length=1, description="glob over agent names")
    tenant: str = Field(default="*", min_length=1, description="glob over tenants")
    roles: tuple[CallerRole, ...] = Field(
        default=(), description="only where who asked for the run has one of these roles"
    )
    when: tuple[str, ...] = Field(
        default=(),
        description="conditions that all have to hold, such as `amount > 100`, "
        "`path under /srv/data`, `host in a.com, *.b.com`; see [policy](policy.md)",
    )
    arguments: Mapping[str, Any] | None = Field(
        default=None, description="JSON Schema that the arguments have to fit"
    )
    effect: Literal["allow", "ask", "deny"] = Field(description="what a match does")
    reason: str = Field(
        default="", description="told to the model when denied, and to who is asked"
    )
    expires: float | str = Field(
        default=86_400.0, description='how long it waits for a person: seconds, or `"4h"`, `"7d"`'
    )
    on_expiry: Literal["reject", "fail"] = Field(
        default="reject", description="then: the call does not run, or the run ends"
    )
    approvers: tuple[CallerRole, ...] = Field(
        default=(CallerRole.OPERATOR,), min_length=1, description="roles that may decide"
    )
    quorum: int = Field(default=1, ge=1, description="how many different people have to agree")
    self_approval: bool | None = Field(
        default=None,
        description="whether who asked for the run may decide; absent: only where there are no "
        "keys, and so one person",
    )
    choices: tuple[Literal["approve", "edit", "reject", "respond"], ...] = Field(
        default=("approve", "edit", "reject", "respond"),
        min_length=1,
        description="what may be answered",
    )
    remember: bool = Field(
        default=False, description="whether the answer holds for equal calls of the same run"
    )
    critical: bool = Field(default=False, description="shown as critical to who decides")

    @field_validator("expires")
    @classmethod
    def _expires(cls, value: float | str) -> float:
        seconds = span_seconds(value) if isinstance(value, str) else value
        if not seconds > 0:
            raise ValueError("has to be more than 0")
        if seconds > LONGEST_SECONDS:
            raise ValueError("is more than a hundred years; for ever is 36500d")
        return seconds

    @field_validator("when")
    @classmethod
    def _when(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for one in value:
            conditions.parse(one)
        return value

    @field_validator("arguments")
    @classmethod
    def _arguments(cls, value: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        if value is not None:
            schemas.check(value)
        return value

    @model_validator(mode="after")
    def _asks(self) -> RuleSettings:
        behind_reason = list(type(self).model_fields)
        behind_reason = behind_reason[behind_reason.index("reason") + 1 :]
        for name in behind_reason:
            if self.effect != "ask" and name in self.model_fields_set:
                raise ValueError(f'{name}: only a rule with effect = "ask" has it')
        return self

    def rule(self, *, alone: bool) -> policy.Rule:
        """The rule as the guardrails read it; ``alone``: there are no keys, so one person."""
        return policy.Rule(
            tool=self.tool,
            agent=self.agent,
            tenant=self.tenant,
            roles=tuple(role.value for role in self.roles),
            when=tuple(conditions.parse(one) for one in self.when),
            arguments=self.arguments,
            decision=policy.Decision(self.effect),
            reason=self.reason,
            terms=policy.Terms(
                expires_seconds=float(self.expires),
                on_expiry=policy.OnExpiry(self.on_expiry),
                roles=frozenset(role.value for role in self.approvers),
                quorum=self.quorum,
                self_approval=alone if self.self_approval is None else self.self_approval,
                choices=frozenset(policy.Choice(one) for one in self.choices),
                remember=self.remember,
                critical=self.critical,
            ),
        )


def read(rules: Sequence[RuleSettings], *, alone: bool) -> tuple[policy.Rule, ...]:
    """The policy as the guardrails read it; ``alone``: there are no keys, so one person."""
    return tuple(rule.rule(alone=alone) for rule in rules)


def tables_of(path: Path) -> list[Any]:
    """The ``[[policy]]`` tables of a TOML file, which may hold other settings too.

    Raises ValueError for a file that cannot be read or has none.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("policy")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(tables, list):
        raise ValueError(f"{path}: no [[policy]] in it; `policy = []` denies all")
    return tables


def span_seconds(text: str) -> float:
    """`90`, `45s`, `30m`, `4h`, `7d` or `2w` in seconds. Raises ValueError."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", text)
    if found is None:
        raise ValueError(f'{text!r} is no span of time: write seconds, or "30m", "4h", "7d"')
    return float(found[1]) * _UNIT_SECONDS[found[2]]


def impossible_rule(
    rules: Sequence[RuleSettings], *, keys: Sequence[KeySettings], masters: int
) -> str | None:
    """What is wrong with the rules taken together, naming the rule; None where nothing is.

    ``masters``: how many keys without a name there are; they may all, and are one person.
    Without any key there is one person, too.
    """
    alone = not keys and not masters
    listed = read(rules, alone=alone)
    for index, rule in enumerate(listed):
        for before in range(index):
            if policy.shadows(listed[before], rule):
                return (
                    f"policy.{index}: is never reached, policy.{before} takes all its calls; "
                    "move it up, or remove it"
                )
        if rule.decision is not policy.Decision.ASK:
            continue
        may = {*rule.terms.roles, CallerRole.ADMIN.value}
        keyed = sum(any(role.value in may for role in key.roles) for key in keys)
        people = 1 if alone else bool(masters) + keyed
        if rule.terms.quorum > people:
            who = " or ".join(sorted(rule.terms.roles))
            return (
                f"policy.{index}.quorum: {rule.terms.quorum} have to decide, and the keys make "
                f"{people} of the role {who}; lower it, or add keys"
            )
    return None
