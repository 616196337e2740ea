"""Every setting: typed, documented, read here and nowhere else.

Sources, strongest first: keyword arguments (the command line), ``COUNTERPOINT_*`` variables,
``counterpoint.toml``, defaults. An unknown name or a bad value stops the start with its key.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from graphs import retention
from server import settings_errors
from server.flat_section import FlatSettings
from server.path_section import AbsolutePath
from server.policy_section import RuleSettings, impossible_rule, tables_of
from server.sandbox_section import E2B_VARIABLES, SandboxSettings, with_e2b
from server.secret_files import FiledEnvironment, NoJsonError, SecretFileError, variables
from server.sections import (
    ClassNames,
    GraphSettings,
    KeySettings,
    ModelSettings,
    RoleSettings,
    WebhookAllow,
    WebhookBase,
    WebhookSecret,
)
from server.slack_section import SLACK_VARIABLES, with_slack
from server.url_section import HttpUrl, RedisUrl

PREFIX = "COUNTERPOINT_"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class ConfigurationError(Exception):
    """A setting that cannot be used; the message names the key and the remedy."""


def _home(variable: str, fallback: str) -> Path:
    base = os.environ.get(variable)
    try:
        return (Path(base) if base else Path.home() / fallback) / "counterpoint"
    except RuntimeError:
        raise ConfigurationError("data_dir, models_dir: no home folder; set HOME or both") from None


class Settings(FlatSettings, BaseSettings):
    """The configuration of one Counterpoint process; frozen."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    CONFIG_FILE: ClassVar[str] = "counterpoint.toml"

    data_dir: AbsolutePath = Field(
        default_factory=lambda: _home("XDG_DATA_HOME", ".local/share"),
        description="Where everything is kept: Redis, Qdrant, the lock, the log",
    )
    models_dir: AbsolutePath = Field(
        default_factory=lambda: _home("XDG_CACHE_HOME", ".cache") / "models",
        description="Where weights are kept; shared between data folders",
    )
    models_from: AbsolutePath | None = Field(
        default=None, description="Folder to take weights from instead of downloading (air gap)"
    )
    offline: bool = Field(
        default_factory=lambda: os.environ.get("HF_HUB_OFFLINE", "") in {"1", "true", "yes", "on"},
        description="Never ask the model hub; `HF_HUB_OFFLINE=1` means the same",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks one")
    api_key_sha256: frozenset[str] = Field(
        default=frozenset(),
        description="SHA-256 (hex) of each key that callers may present as bearer or `x-api-key`; "
        "required beyond loopback. JSON list in the environment. Each may do all, as tenant "
        "`default`",
    )
    keys: tuple[KeySettings, ...] = Field(
        default=(), description="Keys with a name, a tenant and roles (`[[keys]]` in the file)"
    )
    cors_origins: tuple[str, ...] = Field(
        default=(),
        description="Origins whose pages may call from a browser, such as "
        '`["https://chat.example"]`; `["*"]` (with keys): all. On loopback, pages of this '
        "machine may without being listed",
    )
    api_key: SecretStr | None = Field(
        default=None, description="Key that our own commands present to a server"
    )
    redis_url: RedisUrl | None = Field(
        default=None, description="Redis 7.2+ or Valkey 8; absent: one of our own"
    )
    redis_replicas: int = Field(
        default=0,
        ge=0,
        description="Replicas that have to have a run before it is answered as accepted",
    )
    qdrant_url: HttpUrl | None = Field(
        default=None, description="Qdrant server; absent: the engine in process"
    )
    qdrant_key: SecretStr | None = Field(default=None, description="API key of that Qdrant")
    knowledge_url: HttpUrl | None = Field(
        default=None, description="The Counterpoint process that owns the embedded document engine"
    )
    knowledge_key: SecretStr | None = Field(
        default=None, description="An admin's key of that process, where it has keys"
    )
    model_url: HttpUrl | None = Field(
        default=None, description="OpenAI-compatible base URL; absent: the local model"
    )
    model: str | None = Field(default=None, description="The model's name at `model_url`")
    model_key: SecretStr | None = Field(default=None, description="Bearer key for `model_url`")
    model_tools: Literal["native", "constrained", "auto"] = Field(
        default="auto", description="How that model calls tools; `auto` finds out by a probe"
    )
    model_context: int = Field(default=32768, ge=2048, description="Its context window, tokens")
    model_max_output: int = Field(default=2048, ge=64, description="Its longest reply, tokens")
    model_input_price: float | None = Field(
        default=None, ge=0, description="USD per million tokens in, where no price list knows it"
    )
    model_output_price: float | None = Field(
        default=None, ge=0, description="USD per million tokens out"
    )
    model_timeout: float = Field(default=120.0, gt=0, description="Seconds per provider attempt")
    model_client: Literal["lean", "openai"] = Field(
        default="lean", description="What speaks to it: our own client, or langchain-openai's"
    )
    local_threads: int | None = Field(
        default=None, ge=1, description="Threads of the local model; absent: all usable cores"
    )
    models: Mapping[str, ModelSettings] = Field(
        default_factory=dict, description="Named models (`[models.NAME]` in the file)"
    )
    roles: RoleSettings = Field(
        default=RoleSettings(), description="Which named model plays which role (`[roles]`)"
    )
    graphs: Mapping[str, GraphSettings] = Field(
        default_factory=dict,
        description="Graphs of your own, served beside `team` (`[graphs]` in the file)",
    )
    langgraph_json: AbsolutePath | None = Field(
        default=None, description="A `langgraph.json`, whose graphs are served beside `team`"
    )
    collection: str = Field(
        default="default", pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="Documents searched"
    )
    max_document_bytes: int = Field(
        default=50_000_000, ge=1, description="Largest document accepted, bytes"
    )
    concurrency: int = Field(default=4, ge=1, description="Runs worked on at the same time")
    tenant_concurrency: int | None = Field(
        default=None,
        ge=1,
        description="Runs of one tenant at the same time, over all workers; absent: no limit, "
        "tenants take turns",
    )
    checkpoint_retention: str = Field(
        default="1000",
        description="Steps of a thread that stay to go back to: `all`, how many of the newest, or "
        "`latest`, once its run has ended",
    )
    checkpoint_classes: ClassNames = Field(
        default=(),
        description="Classes of your graphs' states that may be read back from checkpoints, such "
        'as `["shop.state:Order"]`; plain data and messages always may',
    )
    lease_seconds: float = Field(
        default=30.0,
        ge=1,
        description="How long a worker may be silent before others take its runs",
    )
    max_attempts: int = Field(
        default=3, ge=1, description="How often a run is begun whose worker dies each time"
    )
    drain_seconds: float = Field(
        default=20.0,
        ge=0,
        description="How long a `counterpoint worker` that is told to stop goes on with its runs; "
        "then other workers take them",
    )
    webhook_allow: WebhookAllow = Field(
        default=(),
        description="Hosts, addresses and networks that webhooks may call beside the public "
        'internet, such as `["localhost", "10.1.0.0/16"]`',
    )
    webhook_secret: WebhookSecret | None = Field(
        default=None,
        description="What webhooks are signed with; absent: one is made and kept in Redis "
        "(`counterpoint key --webhook` shows it)",
    )
    webhook_base: WebhookBase | None = Field(
        default=None,
        description="URL before a webhook that is a path; absent: this server's host and port",
    )
    policy: tuple[RuleSettings, ...] = Field(
        default=(
            RuleSettings(tool="search_documents", effect="allow"),
            RuleSettings(tool="read_document", effect="allow"),
            RuleSettings(tool="run_python", effect="allow"),
        ),
        description="What agents may do (`[[policy]]` in the file); no match denies",
    )
    policy_file: Path | None = Field(
        default=None, description="A file of its own for the `[[policy]]` tables"
    )
    bubblewrap: AbsolutePath | None = Field(
        default=None, description="Path of `bwrap`; absent: PATH, then the package's own"
    )
    sandbox: SandboxSettings = Field(default=SandboxSettings(), description="Where code runs")
    sandbox_seconds: float = Field(default=10.0, gt=0, description="Wall time of one execution")
    sandbox_memory: int = Field(default=512, ge=64, description="Memory of one execution, MB")

    @field_validator("graphs", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: {"path": one} if isinstance(one, str) else one for name, one in value.items()}

    @field_validator("checkpoint_retention")
    @classmethod
    def _retention(cls, value: str) -> str:
        retention.parse(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if self.model_url is not None and not self.model:
            raise ValueError("model: COUNTERPOINT_MODEL_URL needs COUNTERPOINT_MODEL beside it")
        if self.knowledge_url is not None and self.qdrant_url is not None:
            raise ValueError(
                "knowledge_url: the documents are either there or at qdrant_url; set one of them"
            )
        if self.host not in LOOPBACK and not self.has_keys:
            raise ValueError(
                f"host: {self.host} is open to others; set COUNTERPOINT_API_KEY_SHA256 "
                "(`counterpoint key` makes a key and its hash), or listen on 127.0.0.1"
            )
        hashes = [key.sha256.lower() for key in self.keys]
        hashes += [word.strip().lower() for word in self.api_key_sha256]
        if len(set(hashes)) != len(hashes):
            raise ValueError("keys: one sha256 stands there twice; make each caller its own key")
        if "*" in self.cors_origins and not self.has_keys:
            raise ValueError(
                "cors_origins: '*' lets every web page act here; set keys, or list the origins"
            )
        wrong = impossible_rule(self.policy, keys=self.keys, masters=len(self.api_key_sha256))
        if wrong is not None:
            raise ValueError(wrong)
        for role, name in self.roles:
            if name is not None and name not in self.models:
                raise ValueError(f"roles.{role}: no model named {name!r} under [models]")
        return self

    @property
    def checkpoint_class_names(self) -> list[tuple[str, str]]:
        """Module and class of each of ``checkpoint_classes``."""
        parts = (name.partition(":") for name in self.checkpoint_classes)
        return [(module, class_name) for module, _, class_name in parts]

    @property
    def has_keys(self) -> bool:
        """Whether callers have to present a key."""
        return bool(self.api_key_sha256 or self.keys)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        environment = FiledEnvironment(settings_cls)
        return init_settings, environment, InitSettingsSource(settings_cls, _read_toml())


def _config_path() -> Path:
    return Path(os.environ.get(PREFIX + "CONFIG", Settings.CONFIG_FILE))


def _read_toml() -> dict[str, Any]:
    path = _config_path()
    if not path.exists():
        if PREFIX + "CONFIG" in os.environ:
            raise ConfigurationError(f"COUNTERPOINT_CONFIG: {path} does not exist")
        return with_slack(with_e2b({}, os.environ), os.environ)
    try:
        configured = tomllib.loads(path.read_text(encoding="utf-8"))
        return with_slack(with_e2b(configured, os.environ), os.environ)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path}: {error}") from None


def _refuse_unknown_variables() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    # These steer where settings come from; they are none themselves.
    known |= {PREFIX + "CONFIG", *variables(Settings.model_fields, prefix=PREFIX)}
    for name in os.environ:
        if name.startswith(PREFIX) and name.upper() not in known:
            raise ConfigurationError(
                f"{name}: no such setting; docs/configuration.md lists them all"
            )


def config_folder() -> Path:
    """What relative paths in ``counterpoint.toml`` start from."""
    return _config_path().absolute().parent


def environment() -> Mapping[str, str]:
    """The variables of this process, for those who must not show them."""
    return os.environ


def lend_environment(variables: Mapping[str, str]) -> None:
    """Give users' graphs the variables that they read; what is set already stays.

    Raises ConfigurationError for our own names, which come from nowhere but the sources above.
    """
    for name, value in variables.items():
        if name.upper().startswith(PREFIX):
            raise ConfigurationError(f"{name}: set it in counterpoint.toml or in the environment")
        os.environ.setdefault(name, value)


def sources() -> tuple[str, ...]:
    """Where the configuration comes from: the file that is there, and names of variables."""
    path = _config_path()
    others = (
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        *E2B_VARIABLES.values(),
        *SLACK_VARIABLES.values(),
    )
    named = [name for name in os.environ if name.startswith(PREFIX) or name in others]
    return (*([str(path.absolute())] if path.exists() else []), *sorted(named))


def load(**overrides: Any) -> Settings:
    """Read the configuration; ``None`` among the overrides means "not given".

    Raises ConfigurationError, whose message names each key at fault.
    """
    _refuse_unknown_variables()
    given = {name: value for name, value in overrides.items() if value is not None}
    given = {**_own_policy(), **given}
    if os.environ.get("OPENAI_API_KEY") and not os.environ.get(PREFIX + "MODEL_URL"):
        given = {**_openai(), **given}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise ConfigurationError(settings_errors.explained(error)) from None
    except (SecretFileError, NoJsonError) as error:
        raise ConfigurationError(str(error)) from None


def _own_policy() -> dict[str, Any]:
    """The rules of ``policy_file``, whose path starts at the configuration's folder."""
    configured = _read_toml()
    named = os.environ.get(PREFIX + "POLICY_FILE") or configured.get("policy_file")
    if not named:
        return {}
    if "policy" in configured or PREFIX + "POLICY" in os.environ:
        raise ConfigurationError("policy_file: there are rules elsewhere too; keep one of the two")
    try:
        return {"policy": tables_of(config_folder() / str(named))}
    except ValueError as error:
        raise ConfigurationError(f"policy_file: {error}") from None


def _openai() -> dict[str, Any]:
    """`OPENAI_API_KEY` alone selects OpenAI, unless the file or a variable names a model URL."""
    configured = _read_toml()
    if "model_url" in configured or configured.get("models"):
        return {}
    return {
        "model_url": os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1",
        "model": os.environ.get(PREFIX + "MODEL") or configured.get("model") or "gpt-5-mini",
        "model_key": os.environ["OPENAI_API_KEY"],
    }
