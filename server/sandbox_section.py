"""Where the coder's code runs, as settings (`[sandbox]`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from server.sections import WebhookAllow
from tools.sandbox.hosts import checked_hosts
from tools.web.addresses import Opened

E2B_VARIABLES = {"e2b_key": "E2B_API_KEY", "e2b_domain": "E2B_DOMAIN"}
"""Settings that E2B's own variables give as well."""

Hosts = Annotated[tuple[str, ...], AfterValidator(checked_hosts)]


class SandboxSettings(BaseModel):
    """Where the coder's code runs (`[sandbox]`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["auto", "local", "e2b", "none"] = Field(
        default="auto",
        description="`local` (bubblewrap on this machine), `e2b` (virtual machines of E2B's), "
        "`none` (no code is run), or `auto`: E2B where there is a key for it, else local",
    )
    e2b_key: SecretStr | None = Field(
        default=None, description="E2B's key; absent: the variable `E2B_API_KEY`"
    )
    e2b_domain: str = Field(
        default="e2b.app",
        pattern=r"^[A-Za-z0-9.-]{1,253}$",
        description="where E2B is: its cloud, or one's own; absent: the variable `E2B_DOMAIN`",
    )
    e2b_template: str = Field(
        default="code-interpreter-v1",
        pattern=r"^[A-Za-z0-9_:./-]{1,128}$",
        description="E2B's template that machines are made from; it needs the code interpreter",
    )
    strict: bool = Field(
        default=False, description="run no code where anything that isolates it is missing"
    )
    hosts: Hosts = Field(
        default=(),
        description="hosts that code may ask over HTTP and HTTPS, such as "
        '`["api.example.com", "*.internal.example"]`; none: no network',
    )
    allow: WebhookAllow = Field(
        default=(),
        description="hosts, addresses and networks that `hosts` may lie at beside the public "
        'internet, such as `["10.1.0.0/16"]`',
    )
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = Field(
        default=(80, 443), min_length=1, description="ports of `hosts` that code may ask"
    )
    kernels: int = Field(
        default=8, ge=1, le=200, description="sessions awake at the same time, each a thread's"
    )
    warm: int = Field(
        default=1,
        ge=0,
        le=50,
        description="kernels kept ready, so that a cell starts at once (local)",
    )
    idle_seconds: float = Field(
        default=600.0,
        gt=0,
        description="a session that nobody used for so long is put to sleep: its files stay, its "
        "variables go",
    )
    packages: tuple[str, ...] = Field(
        default=(),
        description="packages that code may import beside the usual ones, as pip names them; "
        "`counterpoint sandbox install` installs all (local)",
    )
    folder: Path | None = Field(
        default=None,
        description="where packages for code lie; absent: `sandbox-packages` in the data folder, "
        "as root `/var/lib/counterpoint/sandbox-packages`, which the code's own user can enter",
    )

    @model_validator(mode="after")
    def _has_a_key(self) -> SandboxSettings:
        if self.kind == "e2b" and self.e2b_key is None:
            raise ValueError('e2b_key: kind = "e2b" needs E2B\'s key, here or in E2B_API_KEY')
        return self

    def opened(self) -> Opened:
        """What ``hosts`` may lie at beside the public internet."""
        return Opened.of(self.allow)


def with_e2b(configured: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """The configuration with what E2B's own variables say, where it says nothing itself."""
    table = configured.get("sandbox", {})
    if not isinstance(table, dict):
        return configured
    given = {
        name: environment[variable]
        for name, variable in E2B_VARIABLES.items()
        if environment.get(variable)
    }
    return {**configured, "sandbox": {**given, **table}} if given else configured
