"""What a run tells while it works: typed events, the only thing that every wire renders.

Stored names are forever: a field may be added, none renamed or removed.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
)

from graphs.event_parts import Artifact as Artifact
from graphs.event_parts import Cell as Cell
from graphs.event_parts import Citation as Citation
from graphs.event_parts import Interrupt as Interrupt
from graphs.event_parts import Scores as Scores
from graphs.event_parts import Source as Source
from graphs.event_parts import Stage as Stage
from graphs.event_parts import Stopped as Stopped
from graphs.event_parts import Usage as Usage


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RunStarted(_Event):
    type: Literal["run.started"] = "run.started"
    run_id: str
    thread_id: str
    agent: str = "team"
    attempt: int = 1


class AgentStarted(_Event):
    type: Literal["agent.started"] = "agent.started"
    agent: str
    task_id: str
    instruction: str


class AgentFinished(_Event):
    type: Literal["agent.finished"] = "agent.finished"
    agent: str
    task_id: str
    summary: str
    seconds: float = Field(ge=0)


class ModelCalled(_Event):
    """One provider attempt that came to an end; ``cost`` in US dollars, ``seconds`` wall time.

    ``attempt`` counts those of one ``step``, which counts through the run. ``error`` is a class of
    failure, ``finish_reason`` the provider's word. ``cached_tokens`` of those in were in the
    provider's cache; None where it does not say.
    """

    type: Literal["model.called"] = "model.called"
    agent: str
    task_id: str
    model: str
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cost: float = Field(ge=0)
    seconds: float = Field(ge=0)
    ok: bool = True
    attempt: int = 1
    step: int = 0
    error: str = ""
    finish_reason: str = ""
    first_token_seconds: float | None = None
    cached_tokens: int | None = None


class ToolStarted(_Event):
    """A call begins; ``rule`` is the one of the policy that lets it, where one has a name."""

    type: Literal["tool.started"] = "tool.started"
    agent: str
    task_id: str
    call_id: str
    tool: str
    args: dict[str, Any]
    rule: str = ""


class ToolFinished(_Event):
    type: Literal["tool.finished"] = "tool.finished"
    agent: str
    task_id: str
    call_id: str
    tool: str
    ok: bool
    summary: str
    seconds: float = Field(ge=0)


class ToolRefused(_Event):
    """A call that was not made: the policy, a person, or nobody in time said no to it."""

    type: Literal["tool.refused"] = "tool.refused"
    agent: str
    task_id: str
    call_id: str
    tool: str
    reason: str


class ArtifactMade(_Event):
    """A call made a figure or a file that is kept; its content is a guest's word."""

    type: Literal["artifact.made"] = "artifact.made"
    agent: str
    task_id: str
    call_id: str
    tool: str
    artifact: Artifact


class ApprovalRequested(_Event):
    """A call waits for a person; ``args_sha256`` is what a decision is bound to, ``again`` how
    often this call was asked about before."""

    type: Literal["approval.requested"] = "approval.requested"
    agent: str
    task_id: str
    call_id: str
    tool: str
    args: dict[str, Any]
    args_sha256: str
    rule: str = ""
    reason: str = ""
    expires_seconds: float = 0.0
    again: int = 0


class ApprovalDecided(_Event):
    """``decision``: approve, edit, reject, respond or expired; ``args`` are those that count."""

    type: Literal["approval.decided"] = "approval.decided"
    agent: str
    task_id: str
    call_id: str
    tool: str
    decision: str
    message: str = ""
    args: dict[str, Any] = Field(default_factory=dict)
    again: int = 0


class DocumentSuspicious(_Event):
    """A retrieved or fetched text tries to instruct; it is data, and reaches nothing by that."""

    type: Literal["document.suspicious"] = "document.suspicious"
    agent: str
    task_id: str
    tool: str
    source: str
    signs: list[str] = Field(default_factory=list)


class LoopNoticed(_Event):
    """An agent goes round in circles; ``stopped`` says that its task was ended for it."""

    type: Literal["loop.noticed"] = "loop.noticed"
    agent: str
    task_id: str
    reason: str
    stopped: bool = False


class QuestionUnderstood(_Event):
    """A message that was made complete, or taken apart: ``parts`` are what is looked up.

    ``calls`` is how many model calls understanding it took beside the plan.
    """

    type: Literal["question.understood"] = "question.understood"
    message: str
    question: str
    parts: list[str] = Field(default_factory=list)
    calls: int = Field(default=0, ge=0)


class RetrievalQuery(_Event):
    """One search in the documents: what was asked, within which ``filters``, what came of it.

    ``reason``: ``question`` for the question itself, ``thin`` or ``not_found`` for a second one in
    other words, ``asked`` where an agent wanted it. ``best`` are the first passage's scores;
    ``relaxed`` says that nothing was found within the filters, so that they were left out.
    ``stages`` are those of the search whose passages were taken, in order; ``unread`` says which
    files of the user's could not be read, and why.
    """

    type: Literal["retrieval.query"] = "retrieval.query"
    agent: str
    task_id: str
    query: str
    reason: str = "asked"
    filters: dict[str, Any] = Field(default_factory=dict)
    ignored: list[str] = Field(default_factory=list)
    relaxed: bool = False
    hits: int = Field(default=0, ge=0)
    best: Scores | None = None
    call_id: str = ""
    stages: list[Stage] = Field(default_factory=list)
    unread: list[str] = Field(default_factory=list)


class DocumentRead(_Event):
    """A document is read in order: ``read`` of ``passages`` so far, in ``groups`` model calls."""

    type: Literal["document.read"] = "document.read"
    agent: str
    task_id: str
    document_id: str
    title: str
    read: int = Field(ge=0)
    passages: int = Field(ge=0)
    groups: int = Field(ge=0)
    level: int = Field(default=0, ge=0)


class Verdict(_Event):
    """The critic's word on a draft; ``problems`` name what is not supported and why, and
    ``unsupported_share`` is how much of the draft that is, 0 to 1.
    """

    type: Literal["critic.verdict"] = "critic.verdict"
    supported: bool
    problems: list[str] = Field(default_factory=list)
    unsupported_share: float = Field(default=0.0, ge=0, le=1)


class LimitReached(_Event):
    """``limit`` is the setting's noun: steps, tokens, cost or seconds."""

    type: Literal["limit.reached"] = "limit.reached"
    limit: str
    used: float
    maximum: float


class LimitNear(_Event):
    """Most of a limit is used up; told once for each."""

    type: Literal["limit.near"] = "limit.near"
    limit: str
    used: float
    maximum: float


class GraphChunk(_Event):
    """One chunk of a graph's stream, in plain JSON: ``mode`` is LangGraph's name of it.

    ``ns`` is the path of subgraphs it came from, empty for the graph itself. ``messages`` data is
    ``[message, metadata]``; a piece of a message has the type ``AIMessageChunk``.
    """

    type: Literal["graph.chunk"] = "graph.chunk"
    mode: str
    ns: list[str] = Field(default_factory=list)
    data: Any = None


class ModelDelta(_Event):
    """A piece of what a model of the team writes; only told where somebody asked for messages."""

    type: Literal["model.delta"] = "model.delta"
    agent: str
    task_id: str
    message_id: str
    text: str
    reasoning: str = ""


def written(event: RunEvent) -> dict[str, Any]:
    """An event as it is stored: plain JSON. What holds nothing else is not looked through."""
    if type(event) in _PLAIN:
        return dict(event.__dict__)
    return event.model_dump(mode="json")


class RunInterrupted(_Event):
    """The run waits for a person; not its end. No interrupts: it stopped before or after a node."""

    type: Literal["run.interrupted"] = "run.interrupted"
    interrupts: list[Interrupt] = Field(default_factory=list)
    checkpoint_id: str | None = None
    values: Any = None
    usage: Usage = Field(default_factory=Usage)


class RunFinished(_Event):
    """``stop_reason``: ``answered``, ``asked_back``, or the limit that ended the run, ``stopped``.

    ``values`` is the graph's output as JSON, where its thread goes with the run, or until a webhook
    has it. ``cells`` are the code behind the answer, ``artifacts`` what it made.
    """

    type: Literal["run.finished"] = "run.finished"
    answer: str
    sources: list[Source] = Field(default_factory=list)
    citations: list[Citation] = Field(default_factory=list)
    artifacts: list[Artifact] = Field(default_factory=list)
    cells: list[Cell] = Field(default_factory=list)
    stop_reason: str
    stopped: Stopped | None = None
    unsupported_share: float | None = None
    usage: Usage
    checkpoint_id: str | None = None
    values: Any = None


class RunFailed(_Event):
    """``error`` is a class of failure, ``message`` is for people: no internals, a remedy."""

    type: Literal["run.failed"] = "run.failed"
    error: str
    message: str
    usage: Usage = Field(default_factory=Usage)
    checkpoint_id: str | None = None
    values: Any = None


Outcome = RunFinished | RunFailed | RunInterrupted
"""How an attempt at a run comes out where its worker lives to say so."""

RunEvent = Annotated[
    RunStarted
    | AgentStarted
    | AgentFinished
    | ModelCalled
    | ToolStarted
    | ToolFinished
    | ToolRefused
    | ArtifactMade
    | ApprovalRequested
    | ApprovalDecided
    | DocumentSuspicious
    | LoopNoticed
    | QuestionUnderstood
    | RetrievalQuery
    | DocumentRead
    | Verdict
    | LimitNear
    | LimitReached
    | GraphChunk
    | ModelDelta
    | RunInterrupted
    | RunFinished
    | RunFailed,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[RunEvent] = TypeAdapter(RunEvent)

_PLAIN = frozenset({GraphChunk, ModelDelta})
