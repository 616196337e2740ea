"""What chat frontends do to a server besides asking questions, as settings."""

from __future__ import annotations

from pydantic import BaseModel, Field


class FrontendSettings(BaseModel):
    """Chat frontends among the settings."""

    frontend_tasks: bool = Field(
        default=True,
        description="Whether titles, tags, follow-up questions and the like, which chat frontends "
        "ask for by themselves, are answered by one call of the cheapest model; else by the team, "
        "see [frontends](frontends.md)",
    )
