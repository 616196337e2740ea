"""What the same work costs without a server: the model calls alone, and the graph in process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from agents import coordinator, critic, roster
from bench import endpoint
from guardrails import limits, policy
from models import chat
from models.chat import ChatModel
from models.registry import ModelSpec, Role, ToolMode
from server.registry import GraphRegistry
from server.runs.asked import of_messages
from server.runs.ledger import MemoryRunLedgers
from server.runs.record import RunRecord
from server.team import TeamExecutor
from tools.search_documents import SearchDocuments
from tools.tool import Effect, Tool, ToolContext, ToolResult

RUNS = 240
AT_ONCE = 8


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """CPU milliseconds a run, at eight at once, in one process that is no server."""

    calls: float
    flat: float


def mean(one: Baseline, other: Baseline) -> Baseline:
    """Between the two."""
    return Baseline(calls=(one.calls + other.calls) / 2, flat=(one.flat + other.flat) / 2)


async def measure(model_url: str) -> Baseline:
    """Both baselines against the endpoint at ``model_url``."""
    spec = ModelSpec(
        name="bench",
        model="bench",
        url=model_url,
        tools=ToolMode.NATIVE,
        input_price=0.0,
        output_price=0.0,
    )
    model = chat.build(spec)
    try:
        return Baseline(
            calls=await _cpu(lambda number: _calls(model, number)),
            flat=await _cpu(_runs(model)),
        )
    finally:
        await model.aclose()


async def _cpu(work: Callable[[int], Awaitable[None]]) -> float:
    async def several(numbers: Sequence[int]) -> None:
        left = iter(numbers)

        async def one_after_another() -> None:
            for number in left:
                await work(number)

        await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))

    await several(range(-40, 0))
    before = time.process_time()
    await several(range(RUNS))
    return 1000 * (time.process_time() - before) / RUNS


async def _calls(model: ChatModel, number: int) -> None:
    """The five streamed calls of a run, with nothing around them."""
    del number
    question = [HumanMessage(endpoint.QUESTION)]
    await model.call(question, answer=coordinator.Plan)
    for _ in range(2):
        await model.call(question, tools=[searching().schema()])
    await model.call(question)
    await model.call(question, answer=critic.Judgement)


def searching() -> Tool:
    """A search that costs nothing and finds what the endpoint answers from."""
    passage = {
        "document_id": "plans.md",
        "chunk_id": "plans.md#1",
        "title": "Plans",
        "source": "plans.md",
        "text": endpoint.DOCUMENT,
        "page": None,
        "heading": ["Money back"],
        "span": [0, len(endpoint.DOCUMENT)],
    }

    async def search(arguments: SearchDocuments, context: ToolContext) -> ToolResult:
        del arguments, context
        return ToolResult(content=endpoint.DOCUMENT, evidence=(passage,))

    return Tool(
        name="search_documents",
        description="Search.",
        parameters=SearchDocuments,
        effect=Effect.READS,
        call=search,
    )


def _runs(model: ChatModel) -> Callable[[int], Awaitable[None]]:
    search = searching()
    executor = TeamExecutor(
        registry=GraphRegistry(saver=InMemorySaver()),
        ledgers=MemoryRunLedgers(),
        agents=roster.build(),
        models=dict.fromkeys(Role, model),
        tools={search.name: search},
        rules=[policy.Rule(tool="*", decision=policy.Decision.ALLOW)],
        limits=limits.Limits(steps=40, tokens=200_000, cost=1.0, seconds=600.0),
    )
    asked = of_messages([{"role": "user", "content": endpoint.QUESTION}])

    async def run(number: int) -> None:
        record = RunRecord(run_id=f"b{number}", thread_id=f"b{number}", asked=asked)
        outcome = await executor(record, lambda event: None)
        if outcome.type != "run.finished" or outcome.usage.model_calls != 5:
            raise RuntimeError(f"the run took another way: {outcome}")

    return run
