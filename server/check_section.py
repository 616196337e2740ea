"""What is taken out of what a run tells, and where its answers may lead, as settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from guardrails import hosts, names, redaction
from models.registry import is_private

_KINDS: Mapping[str, frozenset[redaction.Kind]] = {
    "off": frozenset(),
    "secrets": redaction.SECRET,
    "all": frozenset(redaction.Kind),
}


def _hosts(value: tuple[str, ...]) -> tuple[str, ...]:
    for one in value:
        hosts.pattern(one)
    return value


class CheckSettings(BaseModel):
    """The checks of output among the settings."""

    redact: Literal["off", "secrets", "all"] = Field(
        default="secrets",
        description="What is taken out of the team's events before they are stored: keys, tokens "
        "and passwords, or e-mail addresses, phone, card and account numbers too",
    )
    redact_prompts: Literal["off", "secrets", "all"] = Field(
        default="secrets",
        description="What is kept from models, likewise: placeholders stand in prompts, and the "
        "values are put back into calls and answers",
    )
    redact_prompts_to: Literal["public", "every"] = Field(
        default="public",
        description="Which models that is for: those at public addresses, or every one",
    )
    redact_names: str | None = Field(
        default=None,
        description="A model of spaCy's, by name or folder, with which Presidio finds people and "
        "places in prompts too, where `redact_prompts` is `all` "
        "(`.venv/bin/pip install -e '.[presidio]'`)",
    )
    redact_language: str = Field(
        default="en", pattern="^[a-z]{2}$", description="Its language, two letters"
    )
    link_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts)] = Field(
        default=(),
        description='Hosts that links in answers may lead to, such as `["intranet.example", '
        '"*.example.com"]`; other links become words',
    )

    def redacted_kinds(self) -> frozenset[redaction.Kind]:
        """What is taken out of events."""
        return _KINDS[self.redact]

    def hidden_kinds(self, url: str) -> frozenset[redaction.Kind]:
        """What is kept from the model at ``url``."""
        if self.redact_prompts_to == "public" and is_private(url):
            return frozenset()
        return _KINDS[self.redact_prompts]

    def finder(self) -> redaction.Finder:
        """What finds that. Raises NamesUnavailableError."""
        if self.redact_names is None or self.redact_prompts != "all":
            return redaction.find
        return names.Names(model=self.redact_names, language=self.redact_language)
