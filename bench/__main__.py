"""``make bench``: what a run of the team costs besides its models.

A model that answers at once plays all roles, so that the time and the CPU are our own. The
baseline keeps its checkpoints in this process's memory; the ratio says what durability costs.
"""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver

from agents import roster
from graphs.keys import Keys
from graphs.saver import RedisSaver
from guardrails import limits, policy
from models.attempts import TokenUsage
from models.chat import ChatModel, Reply
from models.registry import Role
from server.redis_client import open_redis
from server.redis_server import RedisServer
from server.registry import GraphRegistry
from server.runs.asked import of_messages
from server.runs.ledger import MemoryRunLedgers
from server.runs.records import RunRecord
from server.team import TeamExecutor
from tools.search_documents import SearchDocuments
from tools.tool import Effect, Tool, ToolContext, ToolResult

RUNS = 200
AT_ONCE = (1, 8, 32)
PASSAGE = "An annual plan is refunded in full if the request reaches us within 45 days."


class Instant:
    """A model without latency: plans research, reads the passage, finds it supported."""

    name = "instant"
    plain = False

    async def call(self, messages: Sequence[Any], **options: Any) -> Reply:
        usage = TokenUsage(input_tokens=500, output_tokens=20)
        gate = options["gate"]
        await gate.reserve(self.name, input_tokens=500, max_output_tokens=300, max_cost=0.0)
        await gate.settle(self.name, usage=usage, cost=0.0, seconds=0.0)
        answers: dict[str, dict[str, Any]] = {
            "coordinator": {"move": "research", "text": "", "tasks": ["How long?"]},
            "critic": {"reason": "it says so", "supported": True},
        }
        answer = answers.get(options["agent"])
        message = AIMessage("Within 45 days [1].")
        return Reply(message=message, answer=answer, usage=usage, cost=0.0, attempts=1, seconds=0.0)

    async def aclose(self) -> None:
        """Nothing is open."""


async def _search(arguments: SearchDocuments, context: ToolContext) -> ToolResult:
    del arguments, context
    passage = {
        "document_id": "plans.md",
        "chunk_id": "plans.md#1",
        "title": "Plans",
        "source": "plans.md",
        "text": PASSAGE,
        "page": None,
        "heading": ["Money back"],
        "span": [0, len(PASSAGE)],
    }
    return ToolResult(content=PASSAGE, evidence=(passage,))


def _executor(saver: BaseCheckpointSaver[str]) -> TeamExecutor:
    model: ChatModel = Instant()
    search = Tool(
        name="search_documents",
        description="Search.",
        parameters=SearchDocuments,
        effect=Effect.READS,
        call=_search,
    )
    return TeamExecutor(
        registry=GraphRegistry(saver=saver),
        ledgers=MemoryRunLedgers(),
        agents=roster.build(),
        models=dict.fromkeys(Role, model),
        tools={search.name: search},
        rules=[policy.Rule(tool="*", decision=policy.Decision.ALLOW)],
        limits=limits.Limits(steps=40, tokens=200_000, cost=1.0, seconds=600.0),
    )


async def _measure(executor: TeamExecutor, *, at_once: int, label: str) -> tuple[float, float]:
    """Runs a second, and CPU milliseconds of this process a run."""
    turn = asyncio.Semaphore(at_once)

    async def one(number: int) -> None:
        async with turn:
            name = f"{label}-{at_once}-{number}"
            messages = [{"role": "user", "content": "How long can I return an annual plan?"}]
            record = RunRecord(run_id=name, thread_id=name, asked=of_messages(messages))
            outcome = await executor(record, lambda event: None)
            if outcome.type != "run.finished":
                raise RuntimeError(f"the run failed: {outcome}")

    await asyncio.gather(*(one(-number) for number in range(1, 9)))
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(one(number) for number in range(RUNS)))
    elapsed = time.perf_counter() - started
    return RUNS / elapsed, 1000 * (time.process_time() - cpu) / RUNS


async def main() -> None:
    """Print the table."""
    print("at once | memory saver: runs/s, CPU ms | Redis saver: runs/s, CPU ms | CPU ratio")
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder))
        await server.start()
        redis = open_redis(server.url)
        try:
            for at_once in AT_ONCE:
                memory = await _measure(_executor(InMemorySaver()), at_once=at_once, label="m")
                durable = RedisSaver(redis, Keys(prefix="bench:"))
                stored = await _measure(_executor(durable), at_once=at_once, label="r")
                print(
                    f"{at_once:7} | {memory[0]:20.0f}, {memory[1]:6.1f} "
                    f"| {stored[0]:19.0f}, {stored[1]:6.1f} | {stored[1] / memory[1]:9.2f}"
                )
        finally:
            await redis.aclose()
            await server.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory of this process: {peak:.0f} MB; {RUNS} runs a row, three model calls each")


if __name__ == "__main__":
    asyncio.run(main())
