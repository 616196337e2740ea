"""The parts that the HTTP surface stands on."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from agents import roster
from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.store import RedisStore
from models.embedder import HashedEmbedder
from server.app import build
from server.approvals.answering import answer
from server.approvals.service import Approvals
from server.approvals.store import ApprovalStore
from server.artifacts.links import Links
from server.artifacts.store import RedisThreadFiles
from server.assistants.records import Assistants
from server.audit.log import Audit
from server.crons.records import Crons
from server.executor import Executor, GraphExecutor
from server.house import limits_of
from server.runs.feedback import Feedbacks
from server.runs.ledger import RedisRunLedgers
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.worker import RunWorker
from server.settings import Settings
from server.threads.pausing import ending
from server.threads.records import RedisThreads
from server.threads.states import ThreadStates
from server.webhooks.deliveries import Deliveries
from server.webhooks.secret import Secrets
from tests.server import served_graphs
from tests.server.known_graphs import Known, KnownGraphs
from tests.server.lazy_store import LazyStore
from tests.server.surface import Parts, Team
from tests.server.threads import graphs
from tools.retrieval.edge_store import EdgeStore
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser

EMBEDDER = HashedEmbedder(dimension=64)


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder, in memory where there is one: the engine waits for the disk a lot."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2_000_000_000
    with tempfile.TemporaryDirectory(dir=memory if roomy else None) as path:
        yield Path(path)


@pytest.fixture
async def knowledge(folder: Path) -> AsyncIterator[LocalKnowledge]:
    open_ = partial(EdgeStore.open, folder, embedder=EMBEDDER.name, dimension=EMBEDDER.dimension)
    store: Any = LazyStore(open_)
    yield LocalKnowledge(store, embedder=EMBEDDER, parser=InlineParser())
    await store.close()


@pytest.fixture(scope="session")
def known_graphs() -> Known:
    """Graphs that some test has loaded."""
    return {}


@pytest.fixture
async def parts(
    redis: Redis,
    redis_url: str,
    keys: Keys,
    knowledge: LocalKnowledge,
    tmp_path: Path,
    known_graphs: Known,
) -> AsyncIterator[Parts]:
    """Accepts runs; who wants them worked on asks for the team too."""
    records, log, saver = RunRecords(redis, keys), EventLog(redis, keys), RedisSaver(redis, keys)
    files = RedisThreadFiles(redis, keys)
    threads = RedisThreads(redis, keys, saver=saver, log=log, files=files)
    store = RedisStore(redis, keys)
    async with (
        RunQueue(redis_url, keys) as queue,
        KnownGraphs(
            known_graphs,
            saver=saver,
            store=store,
            sources=[*graphs.sources(), *served_graphs.sources()],
        ) as registry,
    ):
        runs = Runs(records=records, log=log, queue=queue)
        yield Parts(
            settings=Settings(data_dir=tmp_path, max_document_bytes=100_000),
            runs=runs,
            approvals=Approvals(
                ApprovalStore(redis, keys), runs=runs, records=records, answer=answer
            ),
            audit=Audit(redis, keys),
            knowledge=knowledge,
            records=records,
            log=log,
            queue=queue,
            registry=registry,
            assistants=Assistants(redis, keys, graphs=registry, agents=tuple(roster.build())),
            threads=threads,
            files=files,
            file_links=Links(redis, keys),
            crons=Crons(redis, keys),
            webhooks=Deliveries(redis, keys),
            webhook_secrets=Secrets(redis, keys),
            feedback=Feedbacks(redis, keys),
            store=store,
            states=ThreadStates(
                graphs=registry, saver=saver, threads=threads, end_paused=ending(runs)
            ),
        )


@pytest.fixture
async def team(parts: Parts) -> AsyncIterator[Team]:
    """At work on every run that is accepted."""
    made = Team()
    async with RunWorker(
        records=parts.records, log=parts.log, queue=parts.queue, executor=made, grace_seconds=0
    ):
        yield made


@pytest.fixture
async def worker(parts: Parts, redis: Redis, keys: Keys) -> AsyncIterator[Team]:
    """At work on users' graphs as a server is; on the team's runs by script."""
    made, ledgers = Team(), RedisRunLedgers(redis, keys)
    graph_executor = GraphExecutor(
        registry=parts.registry, ledgers=ledgers, limits=limits_of(parts.settings)
    )
    async with RunWorker(
        records=parts.records,
        log=parts.log,
        queue=parts.queue,
        executor=Executor(team_executor=made, graph_executor=graph_executor),
        steps=RedisSaver(redis, keys),
        grace_seconds=0,
    ):
        yield made


@pytest.fixture
def app(parts: Parts) -> FastAPI:
    return build(parts)
