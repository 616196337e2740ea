"""The tables of ``counterpoint.toml``, each a part of the settings."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from server.url_section import HttpUrl
from server.webhooks import signing
from tools.web import addresses

TENANT = r"^[A-Za-z0-9_.-]{1,64}$"


class ModelSettings(BaseModel):
    """One named model of the registry (``[models.NAME]``)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: HttpUrl | None = Field(
        default=None, description="OpenAI-compatible base URL, ending in /v1; or `urls`"
    )
    urls: tuple[HttpUrl, ...] = Field(
        default=(), description="base URLs that all serve this model; see [routing](routing.md)"
    )
    model: str = Field(description="the model's name at that URL")
    key: SecretStr | None = Field(default=None, description="bearer key")
    tools: Literal["native", "constrained", "auto"] = Field(
        default="auto", description="how it calls tools; `auto` finds out by a probe"
    )
    context: int = Field(default=32768, ge=2048, description="context window, tokens")
    max_output: int = Field(default=2048, ge=64, description="longest reply, tokens")
    input_price: float | None = Field(default=None, ge=0, description="USD per million tokens in")
    output_price: float | None = Field(default=None, ge=0, description="USD per million tokens out")
    timeout: float = Field(default=120.0, gt=0, description="seconds per attempt")
    client: Literal["lean", "openai"] = Field(
        default="lean", description="what speaks to it: our own client, or langchain-openai's"
    )
    max_at_once: int | None = Field(
        default=None,
        ge=1,
        description="calls of one process at each URL at the same time; others wait, those of "
        "interactive runs first; absent: no limit",
    )
    priority: bool = Field(
        default=False,
        description="vLLM at these URLs was started with `--scheduling-policy priority`, and is "
        "told which calls are in the background",
    )
    fallback: tuple[str, ...] = Field(
        default=(), description="named models that answer in turn where this one is out"
    )
    fallback_roles: tuple[Literal["coordinator", "worker", "critic"], ...] = Field(
        default=("coordinator", "worker"),
        description='roles that they may play in its place; `"critic"` is not among them unless it '
        "is written here",
    )

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The base URLs, each once."""
        return tuple(dict.fromkeys(([self.url] if self.url else []) + [*self.urls]))

    @model_validator(mode="after")
    def _somewhere(self) -> ModelSettings:
        if not self.endpoints:
            raise ValueError("url: say where the model is served, in `url` or `urls`")
        return self


class RoleSettings(BaseModel):
    """Which named model plays which role (``[roles]``); an absent one is played by `worker`'s."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coordinator: str | None = Field(default=None, description="plans and writes the answer")
    worker: str | None = Field(default=None, description="researcher and coder")
    critic: str | None = Field(default=None, description="checks the draft")


class CallerRole(StrEnum):
    """What a key may be used for. An admin may all that the others may."""

    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


class KeySettings(BaseModel):
    """One key that callers may present (``[[keys]]``): whose it is, and what it may do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(
        pattern=r"^[A-Za-z0-9_.@-]{1,64}$", description="who holds it, as runs and logs name them"
    )
    sha256: str = Field(
        pattern=r"^[0-9A-Fa-f]{64}$", description="its SHA-256 (hex); `counterpoint key` makes both"
    )
    tenant: str = Field(
        default="default",
        pattern=TENANT,
        description="whose threads, runs and documents it reaches; nobody else's are found",
    )
    roles: tuple[CallerRole, ...] = Field(
        default=(CallerRole.USER,),
        min_length=1,
        description='list of `"user"`, `"operator"` (repairs runs) and `"admin"` (may all)',
    )


class GraphSettings(BaseModel):
    """One graph of your own (``[graphs.NAME]``); a string alone is its ``path``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        description="`path/file.py:attribute`, from the configuration's folder, or "
        "`package.module:attribute`"
    )
    description: str = Field(default="", description="what it is for, as assistants show it")


def _classes(value: tuple[str, ...]) -> tuple[str, ...]:
    for name in value:
        module, _, class_name = name.partition(":")
        if not module or not class_name:
            raise ValueError(f"{name!r} names no class: write package.module:Class")
    return value


def _opens(value: tuple[str, ...]) -> tuple[str, ...]:
    addresses.Opened.of(value)
    return value


def _signs(value: SecretStr) -> SecretStr:
    signing.read(value.get_secret_value())
    return value


def _leads(value: str) -> str:
    addresses.parse(value)
    return value


ClassNames = Annotated[tuple[str, ...], AfterValidator(_classes)]
WebhookAllow = Annotated[tuple[str, ...], AfterValidator(_opens)]
WebhookSecret = Annotated[SecretStr, AfterValidator(_signs)]
WebhookBase = Annotated[str, AfterValidator(_leads)]
