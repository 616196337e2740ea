"""A team to test with: scripted models, scripted tools, a real graph."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, Field

from agents import roster
from graphs import events
from guardrails import limits, policy
from models.chat import ChatModel
from models.registry import Role
from server.registry import GraphRegistry
from server.runs.asked import of_messages
from server.runs.ledger import MemoryRunLedgers, RunLedgers
from server.runs.record import RunRecord
from server.team import TeamExecutor
from tools.artifacts import MemoryArtifacts
from tools.file_preview import Files, NamedFiles, SandboxFiles
from tools.run_python import run_python
from tools.sandbox.scripted import ScriptedSandbox
from tools.sandbox.threads import ThreadSessions
from tools.tool import Effect, Tool, ToolContext, ToolResult
from tools.uploads import MemoryUploads

REFUND = "An annual plan is refunded in full if the request reaches us within 45 days."
DIEM = "Per diem for a full day: Austria 44 EUR, Denmark 62 EUR."
LEAVE = "Everybody has 28 days of paid leave in a calendar year."
PLAN_RESEARCH = {"move": "research", "text": "", "tasks": ["How long can I return a plan?"]}
SUPPORTED = {"reason": "the passage states it", "supported": True}
ALLOW_ALL = (policy.Rule(tool="*", decision=policy.Decision.ALLOW),)


def passage(text: str, *, chunk_id: str, source: str = "handbook/plans.md") -> dict[str, Any]:
    return {
        "document_id": source,
        "chunk_id": chunk_id,
        "title": "Plans",
        "source": source,
        "text": text,
        "page": None,
        "heading": ["Plans", "Money back"],
        "span": [0, len(text)],
        "scores": {"bm25": 1.0, "dense": 0.5, "fused": 1.0, "rerank": None},
    }


class Query(BaseModel):
    query: str = Field(max_length=200)


def searching(found: Mapping[str, Sequence[dict[str, Any]]], asked: list[str]) -> Tool:
    """A search tool: the first entry whose key occurs in the query is what it finds."""

    async def call(arguments: Query, context: ToolContext) -> ToolResult:
        del context
        asked.append(arguments.query)
        for key, passages in found.items():
            if key in arguments.query:
                return ToolResult(content="found", evidence=tuple(passages))
        return ToolResult(content="No passage matches.")

    return Tool(
        name="search_documents",
        description="Search.",
        parameters=Query,
        effect=Effect.READS,
        call=call,
    )


class House:
    """One team and what it has been asked; ``run`` gives the end and keeps the events."""

    def __init__(
        self,
        model: ChatModel,
        *,
        found: Mapping[str, Sequence[dict[str, Any]]] | None = None,
        sandbox: ScriptedSandbox | None = None,
        rules: Sequence[policy.Rule] = ALLOW_ALL,
        saver: BaseCheckpointSaver[str] | None = None,
        ledgers: RunLedgers | None = None,
        max_rounds: int = 2,
        uploads: Mapping[str, bytes] | None = None,
        seen: Files | None = None,
        **maxima: float,
    ) -> None:
        self.events: list[events.RunEvent] = []
        self.asked: list[str] = []
        default = {"": [passage(REFUND, chunk_id="refund")]}
        tools = [searching(default if found is None else found, self.asked)]
        self.artifacts = MemoryArtifacts()
        files: Files = NamedFiles()
        if sandbox is not None:
            sessions = ThreadSessions(sandbox)
            given = MemoryUploads({("default", "thread"): uploads or {}})
            files = SandboxFiles(sessions, given)
            tools.append(run_python(sessions, artifacts=self.artifacts, uploads=given))
        models: dict[Role, ChatModel] = dict.fromkeys(Role, model)
        self.registry = GraphRegistry(saver=saver or InMemorySaver())
        self.executor = TeamExecutor(
            registry=self.registry,
            ledgers=ledgers or MemoryRunLedgers(),
            agents=roster.build(),
            models=models,
            tools={tool.name: tool for tool in tools},
            files=seen or files,
            tool_seconds=maxima.get("tool_seconds"),
            rules=rules,
            limits=limits.Limits(
                steps=int(maxima.get("steps", 20)),
                tokens=int(maxima.get("tokens", 100_000)),
                cost=maxima.get("cost", 1.0),
                seconds=maxima.get("seconds", 60.0),
                step_seconds=maxima.get("step_seconds"),
            ),
            max_rounds=max_rounds,
        )

    async def run(
        self,
        *said: str,
        agent: str = "team",
        run_id: str = "",
        thread_id: str = "thread",
        token: int = 1,
    ) -> events.Outcome:
        """``said`` alternates user and assistant, the user last; ``token`` counts claims."""
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(said)]
        record = RunRecord(
            run_id=run_id or f"run-{time.monotonic_ns()}",
            thread_id=thread_id,
            asked=of_messages(messages, agent=agent),
            token=token,
        )
        return await self.executor(record, self.events.append)

    async def answered(self, *said: str, **options: Any) -> events.RunFinished:
        outcome = await self.run(*said, **options)
        assert isinstance(outcome, events.RunFinished), outcome
        return outcome

    def kinds(self) -> list[str]:
        return [event.type for event in self.events]
