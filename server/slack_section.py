"""Slack among the settings: the app's tokens, and who of its people is who here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from server.sections import TENANT, CallerRole
from tools.web import addresses

SLACK_API = "https://slack.com/api/"
SLACK_VARIABLES = {
    "slack_bot_token": "SLACK_BOT_TOKEN",
    "slack_signing_secret": "SLACK_SIGNING_SECRET",
    "slack_app_token": "SLACK_APP_TOKEN",
}


def _leads(value: str) -> str:
    addresses.parse(value)
    return value if value.endswith("/") else value + "/"


def _filled(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().strip():
        raise ValueError("is empty; leave it out, or say it")
    return value


Secret = Annotated[SecretStr, AfterValidator(_filled)]


class SlackPersonSettings(BaseModel):
    """Who may ask in Slack, and as whom (``[[slack_people]]``); the first that fits counts.

    Without a ``team`` it is meant for members of the app's own workspace.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    user: str | None = Field(
        default=None, pattern=r"^[UW][A-Z0-9]{1,30}$", description="a member's id, such as U012AB"
    )
    email: str | None = Field(
        default=None,
        pattern=r"^(\*|[^@\s*]+)@[^@\s*]+$",
        description="a member's e-mail address, or `*@example.com` for all of a domain; needs the "
        "scope users:read.email",
    )
    team: str | None = Field(
        default=None, pattern=r"^[TE][A-Z0-9]{1,30}$", description="a workspace's id"
    )
    name: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_.@-]{1,64}$",
        description="how runs and logs name them; absent: `slack:TEAM:USER`",
    )
    tenant: str = Field(
        default="default",
        pattern=TENANT,
        description="whose threads, runs and documents they reach",
    )
    roles: tuple[CallerRole, ...] = Field(
        default=(CallerRole.USER,), min_length=1, description="as in `[[keys]]`"
    )

    @model_validator(mode="after")
    def _somebody(self) -> SlackPersonSettings:
        if self.user is None and self.email is None and self.team is None:
            raise ValueError("say who: user, email or team")
        if self.name is not None and self.is_for_many:
            raise ValueError("name: it is for one person; say which by user or email")
        return self

    @property
    def is_for_many(self) -> bool:
        """Whether it names nobody in particular, but a domain or a workspace."""
        return self.user is None and (self.email or "*").startswith("*")


class SlackSettings(BaseModel):
    """Slack among the settings."""

    slack_bot_token: Secret | None = Field(
        default=None,
        description="The Slack app's bot token (`xoxb-`); `SLACK_BOT_TOKEN` means the same. See "
        "[Slack](slack.md)",
    )
    slack_signing_secret: Secret | None = Field(
        default=None,
        description="What Slack signs its requests to `/slack/events` with; "
        "`SLACK_SIGNING_SECRET` means the same",
    )
    slack_app_token: Secret | None = Field(
        default=None,
        description="The app-level token (`xapp-`) for Socket Mode, which needs no address that "
        "Slack can reach; `SLACK_APP_TOKEN` means the same",
    )
    slack_people: tuple[SlackPersonSettings, ...] = Field(
        default=(), description="Who may ask in Slack, and as whom (`[[slack_people]]` in the file)"
    )
    slack_default_role: CallerRole | None = Field(
        default=None,
        description="What every other full member of the app's own workspace may do; absent: "
        "nothing, and they are told how to get in",
    )
    slack_default_tenant: str = Field(
        default="default", pattern=TENANT, description="The tenant of those"
    )
    slack_approvals_channel: str | None = Field(
        default=None,
        pattern=r"^[CG][A-Z0-9]{1,30}$",
        description="A channel's id where what waits for a person is shown, where its run was not "
        "asked in Slack; of `slack_default_tenant` only, and all of its members see it",
    )
    slack_help: str = Field(
        default="",
        max_length=500,
        description="Whom those who are not known may turn to, as a sentence that they are told",
    )
    slack_max_file_bytes: int = Field(
        default=20_000_000, ge=1, description="Largest file taken out of Slack, bytes"
    )
    slack_patience_seconds: float = Field(
        default=24 * 3600.0,
        gt=0,
        description="How long a question or its answer is tried while Slack cannot be reached",
    )
    slack_api_url: Annotated[str, AfterValidator(_leads)] = Field(
        default=SLACK_API, description="Slack's Web API; another one only behind a proxy"
    )

    @model_validator(mode="after")
    def _slack_whole(self) -> SlackSettings:
        if self.slack_bot_token is None:
            return self
        if self.slack_signing_secret is None and self.slack_app_token is None:
            raise ValueError(
                "slack_bot_token: it needs SLACK_SIGNING_SECRET (events over HTTP) or "
                "SLACK_APP_TOKEN (Socket Mode) beside it"
            )
        return self

    @property
    def has_slack(self) -> bool:
        """Whether there is a Slack app."""
        return self.slack_bot_token is not None


def with_slack(configured: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with what Slack's own variables say, where it says nothing itself."""
    given = {
        name: environment[variable]
        for name, variable in SLACK_VARIABLES.items()
        if environment.get(variable)
    }
    return {**given, **configured}
