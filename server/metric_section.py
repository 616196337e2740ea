"""Where metrics are told, and what they tell apart, as settings."""

from __future__ import annotations

from pydantic import BaseModel, Field


class MetricSettings(BaseModel):
    """Metrics among the settings."""

    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Port of a `counterpoint worker`'s own `/metrics`; absent: it has none. The "
        "API has `/metrics` beside its other paths",
    )
    metrics_host: str = Field(
        default="127.0.0.1",
        description="Address of that port; beyond loopback it asks for an operator's key",
    )
    metrics_tenants: bool = Field(
        default=False,
        description="Whether runs, tokens and cost are counted for each tenant that has a key",
    )
