"""What callers send about approvals; how one is shown says ``server.approvals.shown``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from guardrails.policy import Choice
from server.wire.json_fields import JsonObject
from server.wire.messages import storable

MOST_AT_ONCE = 200
MOST_LISTED = 1_000
Text = Annotated[str, Field(max_length=20_000)]


class DecisionRequest(BaseModel):
    """What a person decides. `args_sha256` is of the arguments that he looked at."""

    model_config = ConfigDict(extra="ignore")

    decision: Choice = Field(description="approve, edit, reject or respond")
    args: JsonObject | None = Field(default=None, description="all arguments, for an edit")
    tool: str | None = Field(default=None, max_length=200)
    message: Text | None = Field(default=None, description="told to the model, and to the audit")
    args_sha256: str | None = Field(default=None, max_length=64)
    via: str = Field(default="api", pattern=r"^[a-z][a-z-]{0,19}$", description="the surface")

    def said(self) -> dict[str, Any]:
        """As ``Approvals.decide`` takes it. Raises ValueError for text that cannot be kept."""
        return {
            "choice": self.decision,
            "args": self.args,
            "tool": self.tool,
            "message": storable(self.message) if self.message is not None else None,
            "args_sha256": self.args_sha256,
            "via": self.via,
        }


class BulkDecision(DecisionRequest):
    """One of many decisions."""

    id: str = Field(max_length=100)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=255)


class BulkRequest(BaseModel):
    """Decisions that are taken each for itself."""

    model_config = ConfigDict(extra="ignore")

    decisions: list[BulkDecision] = Field(min_length=1, max_length=MOST_AT_ONCE)


class ClaimRequest(BaseModel):
    """How long others see that somebody is at it."""

    model_config = ConfigDict(extra="ignore")

    seconds: float = Field(default=300.0, gt=0, le=3600)
