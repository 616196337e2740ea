"""What is taken out of what a run tells, and where its answers may lead, as settings."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

from guardrails import hosts, redaction


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
    link_hosts: Annotated[tuple[str, ...], AfterValidator(_hosts)] = Field(
        default=(),
        description='Hosts that links in answers may lead to, such as `["intranet.example", '
        '"*.example.com"]`; other links become words',
    )

    def redacted_kinds(self) -> frozenset[redaction.Kind]:
        """What is taken out of events."""
        match self.redact:
            case "off":
                return frozenset()
            case "secrets":
                return redaction.SECRET
            case "all":
                return frozenset(redaction.Kind)
