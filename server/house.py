"""The composition root: opens every part of Counterpoint once, and closes all in reverse."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from redis.asyncio import Redis

from agents import agent, roster
from graphs import retention
from graphs.event_log import EventLog
from graphs.keys import Keys
from graphs.saver import RedisSaver
from graphs.store import RedisStore
from guardrails import hosts, limits, policy
from models.chat import ChatModel
from models.embedder import Embedder
from models.llama import LlamaServer
from models.progress import Progress
from models.registry import Role
from server import house_models, limit_asking, lock, model_routing, policy_section, web_tools
from server import registry as registries
from server.approvals.allowed import judging
from server.approvals.answering import answer
from server.approvals.service import Approvals
from server.approvals.store import ApprovalStore
from server.approvals.sweeper import ApprovalSweeper
from server.approvals.sweeper import swept as approvals_swept
from server.artifacts.keeping import KeptUploads
from server.artifacts.links import Links
from server.artifacts.readable import EVERY_SECONDS, ReadableFiles
from server.artifacts.store import RedisThreadFiles, ThreadFiles
from server.assistants.records import Assistants
from server.audit import policy_notes
from server.audit.log import Audit
from server.building import Building
from server.crons.firing import firing
from server.crons.records import Crons
from server.crons.scheduler import Scheduler, scheduling
from server.executor import Executor, GraphExecutor
from server.frontend_tasks import FrontendExecutor
from server.model_routing import Routing
from server.part import Part
from server.pauses import Pauses
from server.permits import QueuePermits
from server.repairs import Repairs
from server.routes.run_ends import values
from server.runs.admission import Admission
from server.runs.budgets import TenantBudgets
from server.runs.durability import Durability
from server.runs.effects import RedisEffects
from server.runs.feedback import Feedbacks
from server.runs.hurrying import hurried
from server.runs.ledger import RedisRunLedgers
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.runs.service import Runs
from server.runs.worker import RunWorker
from server.settings import Settings
from server.team import TeamExecutor
from server.telemetry import measuring, traced
from server.telemetry.hearing import Listener, Listeners
from server.telemetry.measured_saver import MeasuredSaver
from server.telemetry.scrape import Scrape
from server.telemetry.tracing import Tracing
from server.threads.pausing import ending
from server.threads.records import RedisThreads
from server.threads.states import ThreadStates
from server.threads.sweeper import ThreadSweeper, swept
from server.together import together
from server.webhooks import checking
from server.webhooks.deliveries import Deliveries
from server.webhooks.secret import Secrets
from server.webhooks.sender import Sender, sending
from tools.read_document import read_document
from tools.retrieval.knowledge import Knowledge
from tools.sandbox.find import Unavailable
from tools.sandbox.sandbox import Sandbox
from tools.search_documents import search_documents
from tools.thread_documents import ThreadDocuments
from tools.tool import Tool

if TYPE_CHECKING:
    from server.slack.opening import Slack

WORKER_GRACE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that is open. ``parts`` names what runs, for people."""

    settings: Settings
    redis: Redis
    keys: Keys
    log: EventLog
    records: RunRecords
    queue: RunQueue
    runs: Runs
    approvals: Approvals
    audit: Audit
    repairs: Repairs
    threads: RedisThreads
    files: ThreadFiles
    file_links: Links
    states: ThreadStates
    assistants: Assistants
    crons: Crons
    webhooks: Deliveries
    webhook_secrets: Secrets
    feedback: Feedbacks
    slack: Slack | None
    tracing: Tracing
    scrape: Scrape
    saver: RedisSaver
    registry: registries.GraphRegistry
    store: RedisStore
    knowledge: Knowledge
    sandbox: Sandbox | Unavailable
    models: Mapping[Role, ChatModel]
    routing: Routing
    agents: Mapping[str, agent.Agent]
    tools: Mapping[str, Tool]
    parts: Mapping[str, str]
    local_model: LlamaServer | None


@asynccontextmanager
async def open_house(
    settings: Settings,
    *,
    progress: Progress,
    models: Mapping[Role, ChatModel] | None = None,
    embedder: Embedder | None = None,
    part: Part = Part.ALL,
) -> AsyncIterator[House]:
    """All that this part of Counterpoint needs, as the settings say, with what is missing fetched.

    ``models`` and ``embedder`` stand in for those of the settings. Raises ConfigurationError,
    DataFolderBusy, DataFolderUnusable, RedisServerError, RedisUnusable, ModelError (WeightsError
    among them) and StoreError, each a line for people.
    """
    part.check(settings)
    if not part.works:
        models = models or {}
    registry = None if models is not None else house_models.configured(settings)
    async with AsyncExitStack() as stack:
        if part.owns_folder:
            stack.enter_context(lock.owned(settings.data_dir))
        elif part.serves:
            lock.prepare(settings.data_dir)
        build = Building(settings, stack=stack, progress=progress)
        metrics = await stack.enter_async_context(measuring.opened(part.value))
        redis = await build.redis()
        keys = Keys()
        log = EventLog(redis, keys)
        records = RunRecords(
            redis,
            keys,
            max_attempts=settings.max_attempts,
            lease_seconds=settings.lease_seconds,
            admission=Admission(tenant_concurrency=settings.tenant_concurrency or 0),
        )
        durability = Durability(
            redis,
            disk=build.has_disk,
            replicas=settings.redis_replicas,
            hurry=settings.redis_url is None,
        )
        stack.push_async_callback(durability.close)
        queue = await stack.enter_async_context(RunQueue(build.redis_url, keys))
        saver = MeasuredSaver(
            redis,
            keys,
            metrics=metrics,
            retention=retention.parse(settings.checkpoint_retention),
            allowed=settings.checkpoint_class_names,
        )
        graphs, store, notes = registries.configured(settings, redis=redis, keys=keys, saver=saver)
        for note in notes:
            progress.note(f"warning: {note}")
        # Before weights are fetched: a graph that cannot be loaded should say so at once.
        await stack.enter_async_context(graphs)
        serve_local = models is None and registry is None
        await build.weights(chat=serve_local, embedder=embedder is None)
        llama, knowledge, sandbox = await together(
            build.llama() if serve_local else _nothing(),
            build.knowledge(embedder),
            build.sandbox() if part.works else _no_code(),
        )
        knowledge = measuring.knowledge(knowledge, metrics, embedder=build.embedder)
        sandbox = measuring.sandbox(sandbox, metrics)
        if models is None:
            if llama is not None:
                registry = house_models.local(llama, timeout=settings.model_timeout)
            assert registry is not None
            models = await build.chat_models(registry, redis=redis, keys=keys)
        measuring.endpoints(build.routing, metrics)
        if build.situating is not None:
            build.situating.model = model_routing.in_background(models.get(Role.WORKER))
        files = ReadableFiles(
            RedisThreadFiles(redis, keys, limits=settings.file_limits()),
            knowledge=knowledge,
            redis=redis,
            keys=keys,
        )
        given = ThreadDocuments(knowledge, KeptUploads(files), notes=files)
        rules = rules_of(settings)
        web = await build.web(rules) if part.works else ()
        coding, seen = build.coding(sandbox, files=files)
        reading = (
            search_documents(knowledge, given=given),
            read_document(knowledge, given=given),
        )
        own = (*reading, coding)
        tools = {tool.name: tool for tool in (*own, *web)}
        agents = web_tools.with_tools(roster.build(), web)
        tracing = await stack.enter_async_context(traced.opened(settings, redis, keys, tools))
        runs = Runs(
            records=records,
            log=log,
            queue=queue,
            durability=durability,
            steps=saver,
            created=tracing.created,
        )
        approvals = Approvals(
            ApprovalStore(redis, keys),
            runs=runs,
            records=records,
            answer=answer,
            judge=judging(rules),
            durability=durability,
        )
        if part.works:
            await policy_notes.note(redis, keys, rules)
            build.forgotten(own, rules)
            ledgers = RedisRunLedgers(
                redis,
                keys,
                tenant_budgets=TenantBudgets(redis, keys, budget_of=settings.budget_of)
                if settings.budgets
                else None,
            )
            counting: Listener = measuring.listener(
                metrics, settings, models=models, tools=tools, agents=(*agents, *graphs.names)
            )
            heard = Listeners([counting, tracing] if tracing.listens else [counting])
            executor = Executor(
                team_executor=TeamExecutor(
                    registry=graphs,
                    ledgers=ledgers,
                    agents=agents,
                    models=models,
                    tools=tools,
                    files=seen,
                    rules=rules,
                    permits=partial(QueuePermits, approvals),
                    effects=partial(RedisEffects, redis, keys),
                    limits=limits_of(settings),
                    max_rounds=settings.max_rounds,
                    tool_seconds=settings.tool_seconds,
                    link_hosts=[hosts.pattern(one) for one in settings.link_hosts],
                    redacted=settings.redacted_kinds(),
                    limit_terms=limit_asking.terms_of(settings),
                    listeners=heard,
                ),
                graph_executor=GraphExecutor(
                    registry=graphs,
                    ledgers=ledgers,
                    limits=limits_of(settings),
                    listeners=heard,
                    traced=tracing.listens,
                ),
                frontend=FrontendExecutor(
                    registry, ledgers=ledgers, models=models, limits=limits_of(settings)
                ),
            )
            working = RunWorker(
                records=records,
                log=log,
                queue=queue,
                executor=executor,
                steps=saver,
                concurrency=settings.concurrency,
                grace_seconds=settings.drain_seconds
                if part is Part.WORKER
                else WORKER_GRACE_SECONDS,
                # A Redis of our own has no other workers.
                sole_owner=settings.redis_url is None,
                on_pause=Pauses(approvals, rules=rules),
                listeners=heard,
            )
            await stack.enter_async_context(hurried(working))
        threads = RedisThreads(redis, keys, saver=saver, log=log, files=files, forget=build.forget)
        if part.works:
            await stack.enter_async_context(swept(ThreadSweeper(redis, keys, threads=threads)))
            await stack.enter_async_context(swept(files, every_seconds=EVERY_SECONDS))
            await stack.enter_async_context(approvals_swept(ApprovalSweeper(approvals)))
        audit, feedback = Audit(redis, keys), Feedbacks(redis, keys)
        slack = None
        if settings.has_slack and part.listens:
            # Not imported where it is not used: it is large.
            from server.slack import desk, opening

            slack = await stack.enter_async_context(
                opening.opened(
                    settings,
                    redis=redis,
                    keys=keys,
                    approvals=approvals,
                    runs=runs,
                    threads=threads,
                    files=files,
                    audit=audit,
                    feedback=feedback,
                    durability=durability,
                    deciding=desk.desk(),
                )
            )
        house = House(
            settings=settings,
            redis=redis,
            keys=keys,
            log=log,
            records=records,
            queue=queue,
            runs=runs,
            approvals=approvals,
            audit=audit,
            repairs=Repairs(records, queue),
            threads=threads,
            files=files,
            file_links=Links(redis, keys),
            states=ThreadStates(
                graphs=graphs, saver=saver, threads=threads, end_paused=ending(runs)
            ),
            assistants=Assistants(redis, keys, graphs=graphs, agents=tuple(agents)),
            crons=Crons(redis, keys),
            webhooks=Deliveries(redis, keys),
            webhook_secrets=Secrets(redis, keys, given=checking.secret(settings)),
            feedback=feedback,
            slack=slack,
            tracing=tracing,
            scrape=measuring.scrape(metrics, redis, keys),
            saver=saver,
            registry=graphs,
            store=store,
            knowledge=knowledge,
            sandbox=sandbox,
            models=models,
            routing=build.routing,
            agents=agents,
            tools=tools,
            parts=build.parts,
            local_model=llama,
        )
        if part.works:
            await stack.enter_async_context(_calling(house))
        yield house


@asynccontextmanager
async def _calling(house: House) -> AsyncIterator[None]:
    """Crons fired and webhooks sent, in the background."""
    fire = firing(
        runs=house.runs, assistants=house.assistants, collection=house.settings.collection
    )
    sender = Sender(
        house.webhooks,
        secrets=house.webhook_secrets,
        values=partial(values, house),
        opened=checking.opened(house.settings),
        base=checking.base(house.settings),
    )
    async with scheduling(Scheduler(house.crons, fire=fire)), sending(sender):
        yield


def rules_of(settings: Settings) -> Sequence[policy.Rule]:
    """The policy as the guardrails read it."""
    return policy_section.read(settings.policy, alone=not settings.has_keys)


def limits_of(settings: Settings) -> limits.Limits:
    """The limits of one run."""
    return settings.run_limits()


async def _nothing() -> None:
    return None


async def _no_code() -> Unavailable:
    return Unavailable(reason="this process advances no runs", remedy="start `counterpoint up`")
