"""What the routes answer, as the OpenAPI document shows it: shapes, and which statuses come. Pure.

They describe; nothing is checked against them while the server runs, but all of it in the tests.
A field that `select` can leave out is not required.
"""

from __future__ import annotations

from typing import Any, Final

from typing_extensions import TypedDict

Told = dict[int | str, dict[str, Any]]
JsonObject = dict[str, Any]

JSON: Final = "application/json"
EVENTS: Final = "text/event-stream"
LINES: Final = "application/x-ndjson"

EVENT: Final = {
    "type": "object",
    "required": ["data"],
    "properties": {
        "event": {"type": "string"},
        "id": {"type": "string"},
        "data": {"type": "string", "description": "JSON in one line"},
    },
}
"""One server-sent event."""

MEANINGS: Final = {
    400: "Fields that do not go together, or a body that cannot be read",
    401: "The key is missing or not known",
    403: "The key may not do this, or a page of another origin asked",
    404: "There is none, or it is another tenant's",
    409: "Its present state does not allow it",
    410: "Its time is over",
    413: "The body is too large",
    415: "The body is of a type that is not taken here",
    422: "A field is wrong; the message names it",
    500: "The server or the run failed",
    502: "The model's provider failed",
    503: "Redis or the document store does not answer, or keeps nothing for now; try again",
    504: "The model did not answer in time",
    507: "The disk is full",
}


class Problem(TypedDict):
    """Why there is no answer: one line that names the field and the remedy."""

    detail: str


class Interrupt(TypedDict, total=False):
    """A question that a graph waits for an answer to."""

    id: str
    value: Any
    response_schema: JsonObject


class CheckpointRef(TypedDict, total=False):
    """Where in a thread's history a state is."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    checkpoint_map: JsonObject


class Ttl(TypedDict):
    """How long a thread stays after its last change."""

    strategy: str
    ttl: float
    ttl_minutes: float
    expires_at: str


class Thread(TypedDict, total=False):
    """A conversation, or whatever a graph keeps its state under."""

    thread_id: str
    created_at: str
    updated_at: str
    state_updated_at: str
    metadata: JsonObject
    status: str
    config: JsonObject
    context: JsonObject
    error: Any
    values: Any
    interrupts: dict[str, list[Interrupt]]
    ttl: Ttl | None
    extracted: JsonObject


class ThreadState(TypedDict, total=False):
    """The state of a thread at a checkpoint."""

    values: Any
    next: list[str]
    tasks: list[JsonObject]
    metadata: JsonObject
    created_at: str | None
    checkpoint: CheckpointRef | None
    parent_checkpoint: CheckpointRef | None
    interrupts: list[Interrupt]
    checkpoint_id: str | None
    parent_checkpoint_id: str | None


class Written(TypedDict):
    """Where a state was written."""

    checkpoint: CheckpointRef
    configurable: CheckpointRef
    checkpoint_id: str | None


class Pruned(TypedDict):
    """How many threads went or shrank."""

    pruned_count: int


class Assistant(TypedDict, total=False):
    """A graph with a configuration, in one of its versions."""

    assistant_id: str
    graph_id: str
    config: JsonObject
    context: JsonObject
    metadata: JsonObject
    version: int
    name: str
    description: str | None
    created_at: str
    updated_at: str


class Drawing(TypedDict):
    """A graph's nodes and edges."""

    nodes: list[JsonObject]
    edges: list[JsonObject]


class Schemas(TypedDict):
    """JSON schemas of a graph's data; null where a type has none."""

    graph_id: str
    input_schema: JsonObject | None
    output_schema: JsonObject | None
    state_schema: JsonObject | None
    config_schema: JsonObject | None
    context_schema: JsonObject | None


class Run(TypedDict, total=False):
    """A run: what was asked, and where it is."""

    run_id: str
    thread_id: str
    assistant_id: str
    created_at: str | None
    updated_at: str | None
    status: str
    cancel_reason: str | None
    metadata: JsonObject
    kwargs: JsonObject
    multitask_strategy: str
    attempts: int
    error: str | None
    result: JsonObject | None


class Cron(TypedDict, total=False):
    """A run that begins by the clock."""

    cron_id: str
    assistant_id: str
    thread_id: str | None
    on_run_completed: str | None
    end_time: str | None
    schedule: str
    timezone: str | None
    created_at: str
    updated_at: str
    payload: JsonObject
    user_id: str | None
    next_run_date: str | None
    metadata: JsonObject
    enabled: bool
    error: str | None
    now: str


class _Kept(TypedDict):
    namespace: list[str]
    key: str
    value: JsonObject
    created_at: str
    updated_at: str


class Item(_Kept, total=False):
    """What the store keeps under a key; `score` where it was looked for by likeness."""

    score: float | None


class Items(TypedDict):
    """A page of items."""

    items: list[Item]


class Namespaces(TypedDict):
    """A page of namespaces."""

    namespaces: list[list[str]]


class Model(TypedDict):
    """The team, or one of its agents, as a model."""

    id: str
    object: str
    created: int
    owned_by: str


class Models(TypedDict):
    """The models that are served."""

    object: str
    data: list[Model]


class Delivery(TypedDict):
    """A webhook's message: what was sent, and what came of it."""

    webhook_id: str
    run_id: str
    url: str
    status: str
    state: str
    attempts: int
    response: int | None
    error: str | None
    owed_at: str | None
    tried_at: str | None
    settled_at: str | None


class Deliveries(TypedDict):
    """The messages of a run."""

    items: list[Delivery]


class FeedbackShape(TypedDict):
    """What somebody said of an answer: 1 for good, -1 for bad."""

    by: str
    score: int
    via: str
    at: str


class Feedbacks(TypedDict):
    """What people said of a run's answer."""

    items: list[FeedbackShape]


def told(*errors: int, answer: Any = None, media: str = JSON, status: int = 200) -> Told:
    """The ``responses`` of a route: its answer, and the errors beside those that all may give."""
    found: Told = {code: {"model": Problem, "description": MEANINGS[code]} for code in errors}
    if answer is not None:
        found[status] = {"model": answer, "description": "The answer"}
    if media == EVENTS:
        found[status] = {
            "description": "Server-sent events, to the end of what is followed",
            "content": {EVENTS: {"schema": EVENT}},
        }
    if media == LINES:
        found[status] = {
            "description": "JSON objects, one a line",
            "content": {LINES: {"schema": {}}},
        }
    return found
