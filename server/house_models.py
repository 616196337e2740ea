"""Which chat model plays which role, and how it is opened: configured ones, or the local one."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import cast

from pydantic import SecretStr
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.redacting import RedactedModel
from guardrails.names import NamesUnavailableError
from guardrails.redaction import Kind
from models import probe
from models.chat import ChatModel
from models.errors import (
    ModelFailed,
    ModelTimeout,
    ModelUnreachable,
    RateLimited,
    StreamCut,
    UnknownPrice,
)
from models.llama import LlamaServer
from models.prices import price_of
from models.registry import ClientKind, ModelSpec, Registry, Role, ToolMode
from server import model_routing
from server.check_section import CheckSettings
from server.model_routing import Routing
from server.sections import ModelSettings
from server.settings import ConfigurationError, Settings

LOCAL_NAME = "qwen2.5-coder-1.5b"
LOCAL_CONTEXT = 8192
# What a server was found to do is asked again after this: it may have been started otherwise.
PROBED_SECONDS = 7 * 24 * 3600

_log = logging.getLogger(__name__)


def configured(settings: Settings) -> Registry | None:
    """The models of the configuration; None where there are none and the local one serves.

    Raises ConfigurationError where a role has no model or a model no price.
    """
    specs = {name: _named(name, given) for name, given in settings.models.items()}
    _check_fallbacks(specs)
    default: str | None = settings.roles.worker
    if settings.model_url is not None:
        spec = _given(settings)
        specs.setdefault(spec.name, spec)
        default = default or spec.name
    elif settings.model_urls:
        raise ConfigurationError("model_urls: set COUNTERPOINT_MODEL_URL to the first of them")
    if not specs:
        return None
    if default is None and len(specs) == 1:
        default = next(iter(specs))
    if default is None:
        names = ", ".join(sorted(specs))
        raise ConfigurationError(f"roles.worker: say which of the models plays it: {names}")
    roles = {role: getattr(settings.roles, role.value) or default for role in Role}
    registry = Registry(models=specs, roles=roles)
    for name in model_routing.needed(registry):
        try:
            for url in specs[name].endpoints:
                price_of(replace(specs[name], url=url))
        except UnknownPrice as error:
            raise ConfigurationError(f"{_price_key(name, settings)}: {error}") from None
    return registry


def _check_fallbacks(specs: Mapping[str, ModelSpec]) -> None:
    for name, spec in specs.items():
        for other in spec.fallback:
            if other not in specs:
                raise ConfigurationError(
                    f"models.{name}.fallback: no model named {other!r} under [models]"
                )
        if len({name, *spec.fallback}) <= len(spec.fallback):
            raise ConfigurationError(
                f"models.{name}.fallback: name each other model once, and not the model itself"
            )


def _price_key(name: str, settings: Settings) -> str:
    return f"models.{name}" if name in settings.models else "model_input_price"


def _named(name: str, given: ModelSettings) -> ModelSpec:
    return ModelSpec(
        name=name,
        model=given.model,
        url=given.endpoints[0],
        urls=given.endpoints[1:],
        key=given.key,
        context=given.context,
        max_output=given.max_output,
        input_price=given.input_price,
        output_price=given.output_price,
        tools=ToolMode(given.tools),
        timeout=given.timeout,
        client=ClientKind(given.client),
        max_at_once=given.max_at_once,
        priority=given.priority,
        fallback=given.fallback,
        fallback_roles=frozenset(Role(role) for role in given.fallback_roles),
    )


def _given(settings: Settings) -> ModelSpec:
    assert settings.model_url is not None
    assert settings.model is not None
    return ModelSpec(
        name=settings.model,
        model=settings.model,
        url=settings.model_url,
        urls=settings.model_urls,
        key=settings.model_key,
        context=settings.model_context,
        max_output=settings.model_max_output,
        input_price=settings.model_input_price,
        output_price=settings.model_output_price,
        tools=ToolMode(settings.model_tools),
        timeout=settings.model_timeout,
        client=ClientKind(settings.model_client),
        max_at_once=settings.model_max_at_once,
        priority=settings.model_priority,
    )


def local(server: LlamaServer, *, timeout: float) -> Registry:
    """The built-in model in every role."""
    return Registry.of_one(
        ModelSpec(
            name=server.name,
            model=server.name,
            url=server.base_url,
            key=SecretStr(server.api_key),
            context=server.context,
            input_price=0.0,
            output_price=0.0,
            tools=ToolMode.CONSTRAINED,
            timeout=timeout,
            local=True,
        )
    )


async def opened(
    registry: Registry,
    *,
    stack: AsyncExitStack,
    redis: Redis,
    keys: Keys,
    checks: CheckSettings,
    told: Routing | None = None,
) -> Mapping[Role, ChatModel]:
    """A chat model for each role, closed with the stack; each model is opened once. Those that are
    not to see secrets or personal data do not. ``told`` takes note of what is open.

    Raises ModelError where a model has to be asked what it can and does not answer,
    ConfigurationError.
    """
    try:
        finder = await asyncio.to_thread(checks.finder)
    except NamesUnavailableError as error:
        raise ConfigurationError(f"redact_names: {error}") from None
    specs = {
        name: await decided(registry.named(name), redis=redis, keys=keys)
        for name in model_routing.needed(registry)
    }

    def shown(spec: ModelSpec, model: ChatModel) -> ChatModel:
        kinds = frozenset[Kind]().union(*(checks.hidden_kinds(url) for url in spec.endpoints))
        return RedactedModel(model, kinds=kinds, finder=finder) if kinds else model

    return model_routing.opened(registry, specs, stack=stack, shown=shown, told=told or Routing())


async def decided(spec: ModelSpec, *, redis: Redis, keys: Keys) -> ModelSpec:
    """The spec with its way of calling tools known: said, remembered, or found out now of the first
    of its endpoints that answers."""
    if spec.tools is not ToolMode.AUTO:
        return spec
    for url in spec.endpoints[:-1]:
        try:
            found = await _decided(replace(spec, url=url), redis=redis, keys=keys)
        except (ModelUnreachable, ModelTimeout, StreamCut, ModelFailed, RateLimited) as error:
            _log.warning("another endpoint is asked what model %s can: %s", spec.name, error)
        else:
            return replace(spec, tools=found)
    last = replace(spec, url=spec.endpoints[-1])
    return replace(spec, tools=await _decided(last, redis=redis, keys=keys))


async def _decided(spec: ModelSpec, *, redis: Redis, keys: Keys) -> ToolMode:
    digest = hashlib.sha256(f"{spec.url}\0{spec.model}".encode()).hexdigest()
    key = keys.model_tools(digest)
    remembered = cast("bytes | None", await redis.get(key))
    if remembered:
        return ToolMode(remembered.decode())
    found = await probe.probe(spec)
    await redis.set(key, found.value, ex=PROBED_SECONDS)
    return found
