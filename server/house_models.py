"""Which chat model plays which role, and how it is opened: configured ones, or the local one."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import cast

from pydantic import SecretStr
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.redacting import RedactedModel
from guardrails.names import NamesUnavailableError
from models import chat, probe
from models.chat import ChatModel
from models.errors import UnknownPrice
from models.llama import LlamaServer
from models.prices import price_of
from models.registry import ClientKind, ModelSpec, Registry, Role, ToolMode
from server.check_section import CheckSettings
from server.sections import ModelSettings
from server.settings import ConfigurationError, Settings

LOCAL_NAME = "qwen2.5-coder-1.5b"
LOCAL_CONTEXT = 8192
# What a server was found to do is asked again after this: it may have been started otherwise.
PROBED_SECONDS = 7 * 24 * 3600


def configured(settings: Settings) -> Registry | None:
    """The models of the configuration; None where there are none and the local one serves.

    Raises ConfigurationError where a role has no model or a model no price.
    """
    specs = {name: _named(name, given) for name, given in settings.models.items()}
    default: str | None = settings.roles.worker
    if settings.model_url is not None:
        spec = _given(settings)
        specs.setdefault(spec.name, spec)
        default = default or spec.name
    if not specs:
        return None
    if default is None and len(specs) == 1:
        default = next(iter(specs))
    if default is None:
        names = ", ".join(sorted(specs))
        raise ConfigurationError(f"roles.worker: say which of the models plays it: {names}")
    roles = {role: getattr(settings.roles, role.value) or default for role in Role}
    for name in set(roles.values()):
        try:
            price_of(specs[name])
        except UnknownPrice as error:
            raise ConfigurationError(f"{_price_key(name, settings)}: {error}") from None
    return Registry(models=specs, roles=roles)


def _price_key(name: str, settings: Settings) -> str:
    return f"models.{name}" if name in settings.models else "model_input_price"


def _named(name: str, given: ModelSettings) -> ModelSpec:
    return ModelSpec(
        name=name,
        model=given.model,
        url=given.url,
        key=given.key,
        context=given.context,
        max_output=given.max_output,
        input_price=given.input_price,
        output_price=given.output_price,
        tools=ToolMode(given.tools),
        timeout=given.timeout,
        client=ClientKind(given.client),
    )


def _given(settings: Settings) -> ModelSpec:
    assert settings.model_url is not None
    assert settings.model is not None
    return ModelSpec(
        name=settings.model,
        model=settings.model,
        url=settings.model_url,
        key=settings.model_key,
        context=settings.model_context,
        max_output=settings.model_max_output,
        input_price=settings.model_input_price,
        output_price=settings.model_output_price,
        tools=ToolMode(settings.model_tools),
        timeout=settings.model_timeout,
        client=ClientKind(settings.model_client),
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
    registry: Registry, *, stack: AsyncExitStack, redis: Redis, keys: Keys, checks: CheckSettings
) -> Mapping[Role, ChatModel]:
    """A chat model for each role, closed with the stack; each model is opened once. Those that are
    not to see secrets or personal data do not.

    Raises ModelError where a model has to be asked what it can and does not answer,
    ConfigurationError.
    """
    try:
        finder = await asyncio.to_thread(checks.finder)
    except NamesUnavailableError as error:
        raise ConfigurationError(f"redact_names: {error}") from None
    built: dict[str, ChatModel] = {}
    for name in dict.fromkeys(registry.roles.values()):
        spec = await decided(registry.named(name), redis=redis, keys=keys)
        model: ChatModel = chat.build(spec)
        if kinds := checks.hidden_kinds(spec.url):
            model = RedactedModel(model, kinds=kinds, finder=finder)
        stack.push_async_callback(model.aclose)
        built[name] = model
    return {role: built[name] for role, name in registry.roles.items()}


async def decided(spec: ModelSpec, *, redis: Redis, keys: Keys) -> ModelSpec:
    """The spec with its way of calling tools known: said, remembered, or found out now."""
    if spec.tools is not ToolMode.AUTO:
        return spec
    digest = hashlib.sha256(f"{spec.url}\0{spec.model}".encode()).hexdigest()
    key = keys.model_tools(digest)
    remembered = cast("bytes | None", await redis.get(key))
    if remembered:
        return replace(spec, tools=ToolMode(remembered.decode()))
    found = await probe.probe(spec)
    await redis.set(key, found.value, ex=PROBED_SECONDS)
    return replace(spec, tools=found)
