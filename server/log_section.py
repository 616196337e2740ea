"""How logs are written, as settings."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class LogSettings(BaseModel):
    """Logs among the settings."""

    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How the log is written, in the data folder and to standard error: lines for "
        "people, or one JSON object a line",
    )
