"""The chat models of a house: each opened once, in front of its fallbacks, by role."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from models import chat, priorities, routing
from models.chat import ChatModel
from models.fallback import FallbackModel
from models.pool import EndpointStatus, PoolStatus
from models.priorities import Priority, Workload
from models.registry import ModelSpec, Registry, Role

Shown = Callable[[ModelSpec, ChatModel], ChatModel]
"""A model as the house uses it, such as without what it is not to see."""


@dataclass(frozen=True, kw_only=True)
class ModelStatus:
    """How a model is doing in this process: its endpoints, where there are several or there is a
    limit, and how often which other one has answered in its place."""

    model: str
    pool: PoolStatus | None
    fallbacks: Mapping[str, int]


@dataclass(kw_only=True)
class Routing:
    """What is open of the models, for a look at it; empty in a process without."""

    models: dict[str, routing.RoutedModel | None] = field(default_factory=dict)
    answered: dict[str, Counter[str]] = field(default_factory=dict)

    def status(self) -> Sequence[ModelStatus]:
        """Each model, by name."""
        return [
            ModelStatus(
                model=name,
                pool=None if model is None else model.status(),
                fallbacks=dict(self.answered.get(name, {})),
            )
            for name, model in sorted(self.models.items())
        ]

    def endpoints(self) -> Iterator[tuple[str, EndpointStatus]]:
        """Each endpoint that is looked after, with its model's name."""
        for found in self.status():
            for one in found.pool.endpoints if found.pool else ():
                yield found.model, one


def needed(registry: Registry) -> Sequence[str]:
    """The models that play a role, and those that may in their place."""
    played = list(dict.fromkeys(registry.roles.values()))
    others = [other for name in played for other in registry.named(name).fallback]
    return list(dict.fromkeys([*played, *others]))


def opened(
    registry: Registry,
    specs: Mapping[str, ModelSpec],
    *,
    stack: AsyncExitStack,
    shown: Shown,
    told: Routing,
) -> Mapping[Role, ChatModel]:
    """A chat model for each role, closed with the stack; ``specs`` are those of all that are
    ``needed``, with ``tools`` decided."""
    built: dict[str, ChatModel] = {}
    for name, spec in specs.items():
        routed = routing.build(spec) if routing.is_routed(spec) else None
        model: ChatModel = chat.build(spec) if routed is None else routed
        stack.push_async_callback(model.aclose)
        if routed is not None:
            routed.watch()
        built[name] = model
        told.models[name] = routed

    def view(name: str, *, hurried: bool) -> ChatModel:
        model = built[name]
        if hurried and isinstance(model, routing.RoutedModel):
            model = model.hurried()
        return shown(specs[name], model)

    alone = {name: view(name, hurried=False) for name in specs}
    chains: dict[str, ChatModel] = {}
    for name in dict.fromkeys(registry.roles.values()):
        others = specs[name].fallback
        if not others:
            continue
        answered = told.answered.setdefault(name, Counter())
        hurried = [view(one, hurried=True) for one in (name, *others[:-1])]
        chains[name] = FallbackModel([*hurried, alone[others[-1]]], answered=answered)
    return {
        role: chains.get(name, alone[name]) if role in specs[name].fallback_roles else alone[name]
        for role, name in registry.roles.items()
    }


def in_background(model: ChatModel | None) -> ChatModel | None:
    """The model for what nobody waits for."""
    if model is None:
        return None
    return priorities.serving(model, Workload(priority=Priority.BACKGROUND))


def serving(models: Mapping[Role, ChatModel], workload: Workload) -> Mapping[Role, ChatModel]:
    """The models for calls of a workload."""
    return {role: priorities.serving(model, workload) for role, model in models.items()}
