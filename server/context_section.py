"""What a model may say of each passage before it is searched, as settings."""

from __future__ import annotations

from pydantic import BaseModel, Field


class ContextSettings(BaseModel):
    """The contexts of passages among the settings."""

    contextual_headers: bool = Field(
        default=False,
        description="Whether the worker's model says in a sentence or two where each new passage "
        "stands in its document, which is then searched too; a call of it a passage, see "
        "[documents](documents.md)",
    )
    contextual_max_cost: float = Field(
        default=1.0,
        ge=0,
        description="What that may cost a tenant in a day of UTC, US dollars; passages beyond it "
        "go without until a later ingest",
    )
    contextual_max_tokens: int = Field(
        default=5_000_000, ge=0, description="Likewise, tokens in and out"
    )
