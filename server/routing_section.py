"""Several endpoints of the model that ``model_url`` names, as settings."""

from __future__ import annotations

from pydantic import BaseModel, Field

from server.url_section import HttpUrl


class RoutingSettings(BaseModel):
    """How calls of that model are spread, among the settings."""

    model_urls: tuple[HttpUrl, ...] = Field(
        default=(),
        description="Further base URLs that serve the same model, such as "
        '`["http://b:8000/v1"]`; see [routing](routing.md)',
    )
    model_max_at_once: int | None = Field(
        default=None,
        ge=1,
        description="Calls of one process at each URL at the same time; others wait, those of "
        "interactive runs first; absent: no limit",
    )
    model_priority: bool = Field(
        default=False,
        description="vLLM at these URLs was started with `--scheduling-policy priority`, and is "
        "told which calls are in the background",
    )
