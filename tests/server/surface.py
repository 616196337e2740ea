"""The whole HTTP surface over real parts, with a scripted executor; served or called in process."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from openai import AsyncOpenAI
from starlette.types import ASGIApp

from agents import agent, roster
from graphs import events
from graphs.event_log import EventLog
from graphs.store import RedisStore
from server.app import build
from server.approvals.service import Approvals
from server.artifacts.links import Links
from server.artifacts.store import RedisThreadFiles
from server.assistants.records import Assistants
from server.audit.log import Audit
from server.crons.records import Crons
from server.model_routing import Routing
from server.registry import GraphRegistry
from server.repairs import Repairs
from server.runs.emitter import Emit
from server.runs.feedback import Feedbacks
from server.runs.queue import RunQueue
from server.runs.records import RunRecord, RunRecords
from server.runs.service import Runs
from server.runs.worker import Outcome
from server.settings import Settings
from server.slack.opening import Slack
from server.telemetry.metrics import Metrics
from server.telemetry.scrape import Scrape
from server.telemetry.tracing import Tracing
from server.threads.records import RedisThreads
from server.threads.states import ThreadStates
from server.webhooks.deliveries import Deliveries
from server.webhooks.secret import Secrets
from tools.retrieval.knowledge import Knowledge

SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the app needs of a house, and what a test looks at behind it."""

    settings: Settings
    runs: Runs
    approvals: Approvals
    audit: Audit
    knowledge: Knowledge
    records: RunRecords
    log: EventLog
    queue: RunQueue
    registry: GraphRegistry
    assistants: Assistants
    threads: RedisThreads
    files: RedisThreadFiles
    file_links: Links
    states: ThreadStates
    crons: Crons
    webhooks: Deliveries
    webhook_secrets: Secrets
    feedback: Feedbacks
    store: RedisStore
    agents: Mapping[str, agent.Agent] = field(default_factory=roster.build)
    slack: Slack | None = None
    tracing: Tracing = field(default_factory=Tracing)
    routing: Routing = field(default_factory=Routing)
    scrape: Scrape = field(default_factory=lambda: Scrape(Metrics(process=False)))

    @property
    def repairs(self) -> Repairs:
        return Repairs(self.records, self.queue)


SOURCES = [
    events.Source(
        number=1,
        document_id="doc_1",
        chunk_id="doc_1#0",
        title="Plans and refunds",
        source="handbook/plans-and-refunds.md",
        heading="Money back",
        text="Annual plans can be returned\nwithin 30 days. " + "The rest is long. " * 20,
    ),
    events.Source(
        number=2,
        document_id="doc_2",
        chunk_id="doc_2#3",
        title="Support guide",
        source="support-guide.pdf",
        page=4,
        text="Ask support.",
    ),
]
USAGE = events.Usage(
    steps=2, model_calls=2, tool_calls=1, input_tokens=812, output_tokens=31, seconds=4.2
)
ANSWER = "You have 30 days to return an annual plan [1]. Support helps [2]."


@dataclass
class Team:
    """An executor that works by script and notes what it was asked."""

    end: Outcome | None = None
    hold: bool = False
    asked: list[RunRecord] = field(default_factory=list)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, record: RunRecord, emit: Emit, /) -> Outcome:
        self.asked.append(record)
        for event in WORK[:3]:
            emit(event)
        self.begun.set()
        try:
            if self.hold:
                await self.let_go.wait()
        finally:
            self.ended.set()
        for event in WORK[3:]:
            emit(event)
        return self.end or events.RunFinished(
            answer=ANSWER, sources=SOURCES, stop_reason="answered", usage=USAGE
        )


WORK: list[events.RunEvent] = [
    events.AgentStarted(agent="researcher", task_id="1", instruction="Find the\nreturn window"),
    events.ToolStarted(
        agent="researcher",
        task_id="1",
        call_id="c1",
        tool="search_documents",
        args={"query": "annual plan return"},
    ),
    events.ToolFinished(
        agent="researcher",
        task_id="1",
        call_id="c1",
        tool="search_documents",
        ok=True,
        summary="5 passages",
        seconds=0.1,
    ),
    events.ModelCalled(
        agent="researcher",
        task_id="1",
        model="local model",
        input_tokens=812,
        output_tokens=31,
        cost=0,
        seconds=4.2,
    ),
    events.Verdict(supported=True),
]


def hashed(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def configured(parts: Parts, **given: Any) -> FastAPI:
    """The app under other settings."""
    known = Settings(**{**parts.settings.model_dump(exclude_unset=True), **given})
    return build(Parts(**{**vars(parts), "settings": known}))


@asynccontextmanager
async def served(app: ASGIApp) -> AsyncIterator[str]:
    """The app on a free loopback port, by the server that production uses."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
        listener.close()


@asynccontextmanager
async def openai_client(url: str, **options: Any) -> AsyncIterator[AsyncOpenAI]:
    """The unmodified client."""
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="any", timeout=SECONDS, **options) as made:
        yield made


@asynccontextmanager
async def in_process(app: FastAPI, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client without sockets; what the app raises is raised."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=SECONDS
    ) as client:
        yield client


@dataclass(frozen=True, kw_only=True)
class Sent:
    """One server-sent event as a client reads it."""

    event: str
    id: str | None
    data: str


def sent(text: str) -> list[Sent]:
    """The events of a stream, comments left out."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if fields:
            found.append(
                Sent(event=fields.get("event", ""), id=fields.get("id"), data=fields["data"])
            )
    return found
