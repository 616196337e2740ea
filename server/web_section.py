"""What the team may ask of the web, as settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, Field, SecretStr, model_validator

from server.sections import WebhookAllow
from tools.web import addresses
from tools.web.addresses import Opened

if TYPE_CHECKING:
    from tools.web.fetching import FetchLimits
    from tools.web.search_providers import Provider


def _leads(value: str) -> str:
    addresses.parse(value)
    return value


class WebSettings(BaseModel):
    """The web among the settings."""

    fetch_pages: bool = Field(
        default=False,
        description="Whether the researcher has `fetch_page`, which needs a rule of the policy "
        "too; see [the web](web.md)",
    )
    web_allow: WebhookAllow = Field(
        default=(),
        description="Hosts, addresses and networks that pages may be fetched from beside the "
        'public internet, on any port, such as `["wiki.internal", "10.1.0.0/16"]`',
    )
    web_ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        default=(80, 443), min_length=1, description="Ports that pages may be fetched from"
    )
    web_max_bytes: int = Field(
        default=10_000_000, ge=1, description="Largest page fetched, bytes; twice that unpacked"
    )
    web_seconds: float = Field(
        default=20.0, gt=0, description="Seconds for one page, with all its redirects"
    )
    searxng_url: Annotated[str, AfterValidator(_leads)] | None = Field(
        default=None, description="A SearXNG, with which the researcher has `web_search`"
    )
    tavily_key: SecretStr | None = Field(
        default=None, description="Tavily's key, with which the researcher has `web_search`"
    )
    brave_key: SecretStr | None = Field(
        default=None, description="Brave's key, with which the researcher has `web_search`"
    )

    @model_validator(mode="after")
    def _one_search(self) -> WebSettings:
        names = ("searxng_url", "tavily_key", "brave_key")
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{given[1]}: {given[0]} is set too; one provider searches the web")
        return self

    def web_opened(self) -> Opened:
        """What may be fetched beside the public internet."""
        return Opened.of(self.web_allow)

    def fetch_limits(self) -> FetchLimits:
        """What one page may take."""
        # Late, as below: an HTTP client, which reading the settings does not need.
        from tools.web.fetching import FetchLimits

        return FetchLimits(
            max_bytes=self.web_max_bytes,
            max_unpacked=2 * self.web_max_bytes,
            seconds=self.web_seconds,
        )

    def search_provider(self) -> Provider | None:
        """Who searches the web; None where nobody does."""
        from tools.web.search_providers import Brave, SearXNG, Tavily

        if self.searxng_url is not None:
            return SearXNG(url=self.searxng_url)
        if self.tavily_key is not None:
            return Tavily(key=self.tavily_key)
        return None if self.brave_key is None else Brave(key=self.brave_key)
