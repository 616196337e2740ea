"""Which chat models there are, by name, and which of them plays which role."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from pydantic import SecretStr

from models.errors import UnknownModel


class ToolMode(StrEnum):
    """How a model is brought to call tools; ``auto`` is found out once, by ``models.probe``."""

    NATIVE = "native"
    CONSTRAINED = "constrained"
    AUTO = "auto"


class ClientKind(StrEnum):
    """What speaks to the endpoint: our own client, or langchain-openai's."""

    LEAN = "lean"
    OPENAI = "openai"


class Role(StrEnum):
    COORDINATOR = "coordinator"
    WORKER = "worker"
    CRITIC = "critic"


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """One chat model behind an OpenAI-compatible endpoint.

    ``context`` and ``max_output`` in tokens; prices in US dollars per million tokens, None means
    looked up (``models.prices``); ``timeout`` in seconds for one whole attempt; a ``temperature``
    of None is never sent, for models that refuse one; ``local`` marks the built-in model.

    ``urls`` are further endpoints that serve the same model, ``max_at_once`` bounds the calls at
    each of them; ``priority`` says that they are vLLM's and sort what waits by it. The models named
    by ``fallback`` serve ``fallback_roles`` where this one is out.
    """

    name: str
    model: str
    url: str
    key: SecretStr | None = None
    context: int = 8192
    max_output: int = 1024
    input_price: float | None = None
    output_price: float | None = None
    tools: ToolMode = ToolMode.AUTO
    client: ClientKind = ClientKind.LEAN
    timeout: float = 120.0
    temperature: float | None = 0.0
    extra_body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    local: bool = False
    urls: tuple[str, ...] = ()
    max_at_once: int | None = None
    priority: bool = False
    fallback: tuple[str, ...] = ()
    fallback_roles: frozenset[Role] = frozenset({Role.COORDINATOR, Role.WORKER})

    @property
    def endpoints(self) -> tuple[str, ...]:
        """The base URLs of all its endpoints, each once."""
        return tuple(dict.fromkeys((self.url, *self.urls)))

    @property
    def place(self) -> str:
        """The base URL as it may be told to anybody: without a user and a password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


@dataclass(frozen=True, kw_only=True)
class Registry:
    """Named models, and the name that each role uses.

    Raises ``UnknownModel`` when a role names a model that is not there.
    """

    models: Mapping[str, ModelSpec]
    roles: Mapping[Role, str]

    def __post_init__(self) -> None:
        for role, name in self.roles.items():
            if name not in self.models:
                raise UnknownModel(
                    f"role '{role}' names the model '{name}', which is not configured; "
                    f"known: {self._known()}",
                    model=name,
                )

    @classmethod
    def of_one(cls, spec: ModelSpec) -> Registry:
        """A registry in which one model plays every role."""
        return cls(models={spec.name: spec}, roles=dict.fromkeys(Role, spec.name))

    def named(self, name: str) -> ModelSpec:
        """The model of that name; raises ``UnknownModel``."""
        try:
            return self.models[name]
        except KeyError:
            raise UnknownModel(
                f"no model is named '{name}'; known: {self._known()}", model=name
            ) from None

    def for_role(self, role: str) -> ModelSpec:
        """The model that plays the role; raises ``UnknownModel``."""
        try:
            return self.models[self.roles[Role(role)]]
        except (KeyError, ValueError):
            raise UnknownModel(
                f"no model is set for the role '{role}'; "
                f"roles that have one: {', '.join(sorted(self.roles)) or 'none'}"
            ) from None

    def _known(self) -> str:
        return ", ".join(sorted(self.models)) or "none"


def is_loopback(url: str) -> bool:
    """Whether the URL names this very machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_private(url: str) -> bool:
    """Whether the URL stays inside a house: loopback, a private address, a name without a dot."""
    host = urlsplit(url).hostname or ""
    if is_loopback(url) or (host and "." not in host and ":" not in host):
        return True
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host.endswith((".local", ".internal"))
