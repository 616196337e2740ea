"""What traces hold and how many are kept, as settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from server.telemetry.content import Content

if TYPE_CHECKING:
    from server.telemetry.kept import Bounds


class TraceSettings(BaseModel):
    """Traces among the settings."""

    trace_content: Content = Field(
        default=Content.OFF,
        description="What people, models, tools and documents said, in traces: `off`, `redacted` "
        "(without what looks like a secret or like personal data) or `full`; see "
        "[traces](telemetry.md#traces)",
    )
    traces_kept: int = Field(
        default=1_000, ge=0, description="How many runs' traces are kept in Redis; 0 keeps none"
    )
    traces_kept_days: float = Field(
        default=7.0, gt=0, le=365, description="How long a run's trace is kept, days"
    )
    trace_max_bytes: int = Field(
        default=1_000_000, ge=10_000, description="Largest trace kept of one run, bytes of JSON"
    )

    def trace_bounds(self) -> Bounds:
        """How much is kept."""
        # Late: a client of Redis, which reading the settings does not need.
        from server.telemetry.kept import Bounds

        return Bounds(
            traces=self.traces_kept,
            seconds=int(self.traces_kept_days * 24 * 3600),
            bytes=self.trace_max_bytes,
        )
