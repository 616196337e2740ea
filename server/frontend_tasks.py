"""What chat frontends ask by themselves, as runs: one call of the cheapest model, no graph."""

from __future__ import annotations

import time
from collections.abc import Mapping

import orjson
from langchain_core.messages import AnyMessage

from graphs import events, team
from graphs.context import Emit, LedgerGate, usage_of
from graphs.node import in_time
from guardrails import limits
from models.chat import ChatModel
from models.errors import ModelError
from models.prices import price_of
from models.registry import Registry, Role
from server.executor import limited
from server.model_routing import serving
from server.runs.asked import FRONTEND
from server.runs.ledger import Account, RunLedgers
from server.runs.record import RunRecord
from server.runs.workload import workload_of
from server.wire import graph_messages
from server.wire.frontend_tasks import KIND, Template, template_of

# The first of those that cost the same.
_ORDER = (Role.WORKER, Role.COORDINATOR, Role.CRITIC)


def cheapest(registry: Registry | None) -> Role:
    """The role whose model costs the least for as much out as in."""
    if registry is None:
        return _ORDER[0]

    def cost(role: Role) -> float:
        return price_of(registry.for_role(role)).cost(input_tokens=1_000, output_tokens=1_000)

    return min(_ORDER, key=cost)


class FrontendExecutor:
    """Answers a frontend's task; see ``server.runs.worker.Executor``.

    ``registry`` says what the models cost; without it the worker's is asked.
    """

    def __init__(
        self,
        registry: Registry | None = None,
        *,
        ledgers: RunLedgers,
        models: Mapping[Role, ChatModel],
        limits: limits.Limits,
    ) -> None:
        self._ledgers = ledgers
        self._models = models
        self._role = cheapest(registry)
        self._limits = limits

    async def __call__(self, record: RunRecord, emit: Emit, /) -> events.Outcome:
        """Raises RedisError and FencedError."""
        template = template_of(str(record.asked.configurable.get(KIND)))
        if template is None:
            return events.RunFailed(
                error="unknown_task",
                message="This worker does not know what was asked; update it, or ask again.",
            )
        if record.token > 1:
            account, durable = await self._ledgers.open(record)
        else:
            account, durable = Account(), self._ledgers.fresh(record)
        ledger = limits.Ledger(
            self._limits.lowered(record.asked.limits), clock=time.monotonic, spent=account.spent
        )
        gate = LedgerGate(ledger, agent=FRONTEND, task_id="", emit=emit, durable=durable)
        outcome: events.Outcome
        try:
            ledger.step()
            async with in_time(ledger):
                answer = await self._answer(record, template, gate=gate)
            outcome = events.RunFinished(
                answer=answer, stop_reason=team.ANSWERED, usage=usage_of(ledger.spent)
            )
        except limits.LimitExceededError as reached:
            outcome = limited(reached)
        except (ModelError, graph_messages.BadMessageError) as error:
            outcome = events.RunFailed(error=type(error).__name__, message=str(error))
        await durable.flush(spent=ledger.spent, over=True)
        return outcome.model_copy(update={"usage": usage_of(ledger.spent)})

    async def _answer(self, record: RunRecord, template: Template, *, gate: LedgerGate) -> str:
        model = serving(self._models, workload_of(record))[self._role]
        messages: list[AnyMessage] = graph_messages.read(record.asked.messages)
        reply = await model.call(
            messages,
            answer=template.answer,
            max_tokens=template.max_tokens,
            gate=gate,
            agent=FRONTEND,
        )
        if reply.answer is not None:
            return orjson.dumps(dict(reply.answer)).decode()
        return reply.message.text.strip()
