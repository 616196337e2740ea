"""What the routes need of the house, and how a handler gets it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Protocol, cast

from fastapi import Depends, Request

from agents import agent
from graphs.store import RedisStore
from server.approvals.service import Approvals
from server.artifacts.links import Links
from server.artifacts.store import ThreadFiles
from server.assistants.records import Assistants, Graphs
from server.audit.log import Audit
from server.crons.records import Crons
from server.model_routing import Routing
from server.repairs import Repairs
from server.runs.feedback import Feedbacks
from server.runs.service import Runs
from server.settings import Settings
from server.telemetry.scrape import Scrape
from server.telemetry.tracing import Tracing
from server.threads.records import RedisThreads
from server.threads.states import ThreadStates
from server.webhooks.deliveries import Deliveries
from server.webhooks.secret import Secrets
from tools.retrieval.knowledge import Knowledge

if TYPE_CHECKING:
    from server.slack.opening import Slack


class Serving(Protocol):
    """The open parts of the house that requests reach."""

    @property
    def settings(self) -> Settings: ...

    @property
    def runs(self) -> Runs: ...

    @property
    def tracing(self) -> Tracing: ...

    @property
    def approvals(self) -> Approvals: ...

    @property
    def audit(self) -> Audit: ...

    @property
    def repairs(self) -> Repairs: ...

    @property
    def assistants(self) -> Assistants: ...

    @property
    def threads(self) -> RedisThreads: ...

    @property
    def files(self) -> ThreadFiles: ...

    @property
    def file_links(self) -> Links: ...

    @property
    def states(self) -> ThreadStates: ...

    @property
    def registry(self) -> Graphs: ...

    @property
    def crons(self) -> Crons: ...

    @property
    def webhooks(self) -> Deliveries: ...

    @property
    def webhook_secrets(self) -> Secrets: ...

    @property
    def feedback(self) -> Feedbacks: ...

    @property
    def slack(self) -> Slack | None: ...

    @property
    def scrape(self) -> Scrape: ...

    @property
    def store(self) -> RedisStore: ...

    @property
    def knowledge(self) -> Knowledge: ...

    @property
    def routing(self) -> Routing: ...

    @property
    def agents(self) -> Mapping[str, agent.Agent]: ...


# Not awaiting anything, and async all the same: what is not goes to a thread for each request.
async def _serving(request: Request) -> Serving:
    return cast("Serving", request.app.state.serving)


async def _heartbeat(request: Request) -> float:
    return cast("float", request.app.state.heartbeat)


House = Annotated[Serving, Depends(_serving)]
Heartbeat = Annotated[float, Depends(_heartbeat)]
