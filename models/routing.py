"""A chat model behind several endpoints.

Each call goes to one endpoint, and to another one where that fails; each attempt passes the
caller's gate at its own price. Text that a failed attempt has told is void, as ``models.hearing``
says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage

from models import load_reading
from models.attempts import AttemptGate, OpenGate, Tally
from models.breaker import Rules
from models.chat import EndpointModel, Reply, ToolChoice, connect, dialect_of
from models.errors import ModelError
from models.hearing import Hear
from models.pieces import Client, Piece
from models.pool import Endpoint, Pool, PoolStatus
from models.prices import price_of
from models.priorities import Priority, Workload
from models.registry import ModelSpec
from models.retry import OUTAGE_SECONDS, Retry
from models.schema import Answer

# Where another model can take over, no provider is waited for longer than this.
_PATIENCE_WITH_FALLBACK = 1.0
_PATIENCE = 15.0
# vLLM serves lower numbers first, and 0 is everybody's who says nothing.
_BACKGROUND = 10


def is_routed(spec: ModelSpec) -> bool:
    """Whether there is something to decide about a model's calls."""
    return len(spec.endpoints) > 1 or bool(spec.max_at_once or spec.priority or spec.fallback)


def build(
    spec: ModelSpec, *, retry: Retry | None = None, rules: Rules | None = None
) -> RoutedModel:
    """The model of a spec whose ``tools`` are decided, over all its endpoints.

    Raises ``UnknownPrice``.
    """
    endpoints = {url: _models(replace(spec, url=url, urls=())) for url in spec.endpoints}
    retry = retry or Retry()
    retry = replace(
        retry,
        attempts=max(retry.attempts, len(endpoints) + 1),
        # One that hangs takes its whole time, and another is to be tried all the same.
        total=retry.total + spec.timeout,
    )
    pool = Pool(spec.name, endpoints, max_at_once=spec.max_at_once, rules=rules)
    return RoutedModel(spec, pool=pool, retry=retry)


def _models(spec: ModelSpec) -> Mapping[Priority, EndpointModel]:
    client = connect(spec)
    clients: dict[Priority, Client] = dict.fromkeys(Priority, client)
    if spec.priority:
        body = {**spec.extra_body, "priority": _BACKGROUND}
        clients[Priority.BACKGROUND] = _Saying(client, body)
    return {
        priority: EndpointModel(
            spec,
            dialect=dialect_of(spec),
            price=price_of(spec),
            client=one,
            # Who tries again, and where, is decided for all endpoints together.
            retry=Retry(attempts=1),
        )
        for priority, one in clients.items()
    }


class _Saying:
    """A client that says something more with each request."""

    def __init__(self, client: Client, body: Mapping[str, Any]) -> None:
        self._client = client
        self._body = body

    def pieces(
        self, messages: Sequence[BaseMessage], /, **options: Any
    ) -> AsyncGenerator[Piece, None]:
        return self._client.pieces(messages, **options, extra_body=self._body)

    async def aclose(self) -> None:
        await self._client.aclose()


class RoutedModel:
    """One model, served by the endpoints of ``pool``. ``watch`` begins to look at their load."""

    def __init__(
        self,
        spec: ModelSpec,
        *,
        pool: Pool,
        retry: Retry,
        workload: Workload | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self.spec = spec
        self.pool = pool
        self._retry = retry
        self._workload = workload or Workload()
        self._patience = patience
        self._watch: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def plain(self) -> bool:
        return self.pool.endpoints[0].models[Priority.INTERACTIVE].plain

    def serving(self, workload: Workload) -> RoutedModel:
        return RoutedModel(
            self.spec,
            pool=self.pool,
            retry=self._retry,
            workload=workload,
            patience=self._patience,
        )

    def hurried(self) -> RoutedModel:
        """The same model where another one stands by: it waits for no outage and no provider."""
        retry = replace(self._retry, longest_told=_PATIENCE_WITH_FALLBACK)
        return RoutedModel(
            self.spec, pool=self.pool, retry=retry, workload=self._workload, patience=0.0
        )

    def status(self) -> PoolStatus:
        return self.pool.status()

    def watch(self, *, every: float = load_reading.EVERY_SECONDS) -> None:
        """Look at the endpoints' load from now on, where there are several."""
        if len(self.pool.endpoints) > 1 and self._watch is None:
            self._watch = asyncio.create_task(
                load_reading.watch(self.pool, self.spec, every=every), name=f"load of {self.name}"
            )

    async def aclose(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        self.pool.close()
        for endpoint in self.pool.endpoints:
            # All ask over the same connections.
            await endpoint.models[Priority.INTERACTIVE].aclose()

    async def call(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        answer: Answer | None = None,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        temperature: float | None = None,
        thought: bool = False,
        gate: AttemptGate | None = None,
        agent: str = "",
        heard: Hear | None = None,
    ) -> Reply:
        """As ``ChatModel.call``; the reply counts the attempts at all endpoints."""
        tally = Tally(gate or OpenGate())
        tried: list[Endpoint] = []
        started = self._retry.clock()

        async def attempt() -> Reply:
            lease = await self.pool.take(
                self._workload, tried=tuple(tried), patience=self._patience
            )
            tried.append(lease.endpoint)
            before = tally.attempts
            error: BaseException | None = None
            try:
                return await lease.endpoint.models[self._workload.priority].call(
                    messages,
                    tools=tools,
                    answer=answer,
                    tool_choice=tool_choice,
                    max_tokens=max_tokens,
                    temperature=temperature,
                    thought=thought,
                    gate=tally,
                    agent=agent,
                    heard=heard,
                )
            except BaseException as raised:
                error = raised
                raise
            finally:
                # A prompt that is too long never gets there.
                self.pool.give_back(lease, error, answered=tally.attempts > before)
                if isinstance(error, ModelError) and self.pool.can_go_elsewhere(tried):
                    error.retry_after = 0.0

        # Where another model stands by, no outage is waited for.
        outage = OUTAGE_SECONDS if self._patience and self.pool.answered else 0.0
        reply = await self._retry.run(attempt, outage=outage)
        return replace(
            reply,
            usage=tally.usage,
            cost=tally.cost,
            attempts=tally.attempts,
            seconds=self._retry.clock() - started,
        )
