"""The OpenAPI document: what FastAPI knows of the routes, and what holds for all of them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from server.auth import OPEN_PATHS
from server.routes import documents
from server.wire.shapes import EVENTS, JSON, LINES, MEANINGS, Problem

Document = dict[str, Any]

TAGS: Mapping[str, str] = {
    "server": "Whether the server is there, and what it is.",
    "assistants": "Graphs with a configuration, under a name, in versions.",
    "files": "What users gave to threads, and what runs made there.",
    "threads": "Conversations: their records, their states, their history.",
    "runs": "Work on a thread: started, followed, waited for, ended.",
    "crons": "Runs that begin by the clock.",
    "store": "The long-term memory of graphs.",
    "webhooks": "What was told to other servers at the end of runs.",
    "openai": "OpenAI's wire: the team and its agents as models.",
    "approvals": "What people are asked before a tool is called, and what they decide.",
    "audit": "Who did what, in a chain that shows where it was changed.",
    "documents": "What the team answers from.",
    "admin": "For operators: why a run is where it is, and what sets it going again.",
}

PARAMETERS: Mapping[str, str] = {
    "assistant_id": "An assistant's UUID, or the name of a graph or of an agent of the team.",
    "thread_id": "A thread's UUID.",
    "run_id": "A run's UUID.",
    "cron_id": "A cron's UUID.",
    "artifact_id": "A file's id, as an answer or the list of files has it.",
    "origin": "`upload`: what users gave; `run`: what runs made.",
    "download": "Have a browser save it in any case.",
    "if-none-match": "The `ETag` of what is there already.",
    "document_id": "A document's id, as the list of documents has it.",
    "checkpoint_id": "A checkpoint's id, as a state has it.",
    "namespace": "Parts with full stops between them; of subgraphs, with `|`.",
    "key": "The item's key within its namespace.",
    "name": "A name, as the list has it.",
    "limit": "How many at most.",
    "offset": "How many to leave out at the beginning.",
    "status": "Only those in this state.",
    "select": "Only these fields: repeated, with commas, or as a JSON array.",
    "include": "What to tell besides: `ttl`.",
    "before": "Only what is older than this checkpoint.",
    "subgraphs": "Also the states of subgraphs that are under way.",
    "recurse": "Also the graphs within those graphs.",
    "xray": "Open the subgraphs: `true`, or to a depth.",
    "delete_threads": "Delete the threads of the assistant too.",
    "refresh_ttl": "Let the item's time begin anew.",
    "response_id": "A response's id.",
    "stream": "Its events as server-sent events.",
    "starting_after": "Only the events behind this `sequence_number`.",
    "stream_mode": "Which events: repeated, with commas, or as a JSON array.",
    "stream_modes": "The same as `stream_mode`.",
    "cancel_on_disconnect": "End the run when this reader leaves.",
    "action": "`interrupt` keeps the steps that were done, `rollback` takes the run back.",
    "wait": "Answer once the run has ended.",
    "tenant": "Only those of this tenant; for admins.",
    "collection": "Which documents; else those of the setting.",
    "Last-Event-ID": "Go on behind this event; `-1`: from the beginning.",
    "Idempotency-Key": "The same request under the same key is one run; another one is refused.",
    "X-Counterpoint-Collection": "Which documents; else those of the setting.",
    "approval_id": "An approval's id.",
    "kind": "Only entries of this kind.",
    "who": "Only what this caller did.",
    "tool": "Only what is about this tool.",
    "seq": "The number of an entry that was noted earlier.",
    "hash": "The hash of that entry.",
    "after": "Only what comes behind this number.",
    "agent": "Only what this agent asked for.",
    "requested_by": "Only what runs of this caller asked.",
    "mine": "Only what runs of mine asked.",
    "claimable": "Only what I may decide.",
    "since": "Only what came after this.",
    "order": "`asc`: the oldest first; `desc`: the newest first.",
    "prefer": "`return=minimal`: answer 204.",
}


def install(app: FastAPI) -> None:
    """Make the app tell this document."""

    def openapi() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document(app: FastAPI) -> Document:
    """The whole document of the app's routes."""
    made: Document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description='Errors are `{"detail": "..."}`: one line that names the field and the '
        "remedy; under /v1 the same stands in OpenAI's `error.message` as well.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
        routes=app.routes,
    )
    parts = made.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    schemas["Problem"] = TypeAdapter(Problem).json_schema()
    # Documents come as files too, so that FastAPI does not see how they come as JSON.
    shape = documents.AddRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**shape.pop("$defs"), "AddRequest": shape}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    parts["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    for path, method, operation in _operations(made):
        # A server without keys on loopback asks for none.
        operation["security"] = [] if path in OPEN_PATHS else [{}, {"bearer": []}, {"key": []}]
        for parameter in operation.get("parameters", ()):
            parameter.setdefault("description", PARAMETERS.get(parameter["name"], ""))
        _tell_errors(operation, path=path, method=method)
        _tell_answers(operation)
    return made


def _operations(made: Document) -> Iterator[tuple[str, str, Document]]:
    for path, methods in made["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _tell_errors(operation: Document, *, path: str, method: str) -> None:
    """What every route may answer; a route's own errors are there already."""
    takes = operation.get("parameters", ())
    statuses = set() if path in OPEN_PATHS else {400, 401, 403}
    if "requestBody" in operation:
        statuses |= {413, 415, 422}
    if takes:
        statuses.add(422)
    if any(parameter["in"] == "path" for parameter in takes):
        statuses.add(404)
    if path not in OPEN_PATHS and path != "/info":
        statuses.add(503)
    if method != "get":
        statuses.add(507)
    told = operation["responses"]
    told.pop("422", None)
    if path.startswith("/v1/"):
        # As OpenAI's clients expect.
        statuses.discard(422)
    for status in sorted(statuses):
        told.setdefault(
            str(status),
            {
                "description": MEANINGS[status],
                "content": {JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        )
    operation["responses"] = dict(sorted(told.items()))


def _tell_answers(operation: Document) -> None:
    """The shape that a route declares takes the place of what its signature says."""
    for told in operation["responses"].values():
        content: Document = told.get("content", {})
        if {EVENTS, LINES} & set(content) and not content.get(JSON, {}).get("schema"):
            content.pop(JSON, None)
        for media in content.values():
            media["schema"] = _only_named(media.get("schema", {}))


def _only_named(schema: Document) -> Document:
    """Without what stands beside the name of a shape: what the signature had said."""
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    return {
        name: _only_named(part)
        if name in {"items", "additionalProperties"} and part is not True
        else part
        for name, part in schema.items()
        if not (name == "additionalProperties" and schema.get("type") == "array")
    }
