"""What a run may spend, and what a tenant may in a day and a month, as settings."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, field_validator

from guardrails import limits
from guardrails.budgets import Budget, Period
from server.sections import TENANT

EVERYBODY = "*"
"""The budget of tenants without one of their own."""


class AmountSettings(BaseModel):
    """Maxima of one period; what is not set has no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int | None = Field(default=None, ge=0, description="steps of all agents")
    model_calls: int | None = Field(default=None, ge=0, description="provider attempts")
    tool_calls: int | None = Field(default=None, ge=0, description="tool calls")
    tokens: int | None = Field(default=None, ge=0, description="tokens in and out")
    cost: float | None = Field(default=None, ge=0, allow_inf_nan=False, description="US dollars")
    seconds: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="active seconds of runs"
    )


class BudgetSettings(BaseModel):
    """What one tenant may spend (``[budgets.TENANT]``, ``[budgets."*"]`` for those without)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    day: AmountSettings = Field(
        default=AmountSettings(),
        description="per day of UTC: any of `steps`, `model_calls`, `tool_calls`, `tokens`, "
        "`cost` (US dollars), `seconds`, such as `{cost = 5.0}`",
    )
    month: AmountSettings = Field(
        default=AmountSettings(), description="per calendar month of UTC, likewise"
    )


class LimitSettings(BaseModel):
    """The limits among the settings."""

    max_steps: int = Field(default=40, ge=1, description="Limit per run: steps of all agents")
    max_tokens: int = Field(default=200_000, ge=1, description="Limit per run: tokens in and out")
    max_cost: float = Field(default=1.0, ge=0, description="Limit per run: US dollars")
    max_seconds: float = Field(default=600.0, gt=0, description="Limit per run: active seconds")
    max_step_seconds: float | None = Field(
        default=None,
        gt=0,
        description="Limit per run: seconds of one step, a thought with its retries or a tool call",
    )
    max_model_calls: int | None = Field(
        default=None, ge=1, description="Limit per run: provider attempts, retries too"
    )
    max_tool_calls: int | None = Field(
        default=None, ge=0, description="Limit per run: tool calls of all agents"
    )
    max_depth: int | None = Field(
        default=None, ge=1, description="Limit per run: how deep agents may hand work on"
    )
    max_branches: int | None = Field(
        default=None, ge=1, description="Limit per run: agents that work at the same time"
    )
    max_rounds: int = Field(
        default=2, ge=1, description="Limit per run: drafts, the first and those sent back"
    )
    ask_on_limit: bool | None = Field(
        default=None,
        description="Whether a run that a limit has stopped waits for an operator to raise it; "
        "absent: where keys make somebody an operator",
    )
    tool_seconds: float = Field(default=120.0, gt=0, description="Seconds per call of a tool")
    budgets: Mapping[str, BudgetSettings] = Field(
        default_factory=dict,
        description="What tenants may spend in a day and a month (`[budgets.TENANT]` in the file)",
    )

    @field_validator("budgets")
    @classmethod
    def _of_tenants(cls, given: Mapping[str, BudgetSettings]) -> Mapping[str, BudgetSettings]:
        for name in given:
            if name != EVERYBODY and not re.fullmatch(TENANT, name):
                raise ValueError(
                    f"{name!r} is no tenant's name, so it would limit nobody; use the name that "
                    f"[[keys]] have, or {EVERYBODY!r} for those without"
                )
        return given

    def run_limits(self) -> limits.Limits:
        """The limits of one run."""
        return limits.Limits(
            steps=self.max_steps,
            tokens=self.max_tokens,
            cost=self.max_cost,
            seconds=self.max_seconds,
            model_calls=self.max_model_calls,
            tool_calls=self.max_tool_calls,
            depth=self.max_depth,
            branches=self.max_branches,
            step_seconds=self.max_step_seconds,
        )

    def budget_of(self, tenant: str) -> Mapping[Period, Budget]:
        """What a tenant may spend; empty where nothing limits it."""
        found = self.budgets.get(tenant) or self.budgets.get(EVERYBODY)
        if found is None:
            return {}
        return {
            Period.DAY: Budget(**found.day.model_dump()),
            Period.MONTH: Budget(**found.month.model_dump()),
        }
