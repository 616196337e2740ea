"""The public methods of LangGraph's own clients, as they are installed, and what is not offered."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from langgraph_sdk._async import assistants, cron, runs, store, threads
from langgraph_sdk._sync import assistants as sync_assistants
from langgraph_sdk._sync import cron as sync_cron
from langgraph_sdk._sync import runs as sync_runs
from langgraph_sdk._sync import store as sync_store
from langgraph_sdk._sync import threads as sync_threads

KINDS = ("async", "sync")
CLASSES: Mapping[tuple[str, str], type] = {
    ("async", "assistants"): assistants.AssistantsClient,
    ("async", "threads"): threads.ThreadsClient,
    ("async", "runs"): runs.RunsClient,
    ("async", "crons"): cron.CronClient,
    ("async", "store"): store.StoreClient,
    ("sync", "assistants"): sync_assistants.SyncAssistantsClient,
    ("sync", "threads"): sync_threads.SyncThreadsClient,
    ("sync", "runs"): sync_runs.SyncRunsClient,
    ("sync", "crons"): sync_cron.SyncCronClient,
    ("sync", "store"): sync_store.SyncStoreClient,
}
PARTS = tuple(dict.fromkeys(part for _, part in CLASSES))
# Of every call, whatever it does.
COMMON = frozenset({"self", "headers", "params"})

NOT_OFFERED: Mapping[str, str] = {}
LIMITS: Mapping[str, str] = {
    "threads.stream": "`langsmith_tracing` is taken and not used. On a thread whose only run began "
    "less than two seconds before, `output` may be that run's: the client takes the end that it is "
    "told first.",
    "runs.stream": "`feedback_keys` and `langsmith_tracing` are taken and not used.",
    "runs.create": "`langsmith_tracing` is taken and not used.",
    "runs.wait": "`langsmith_tracing` is taken and not used.",
    "store.put_item": "`index` is kept and has no effect where the store has no embedder.",
    "store.search_items": "`query` orders by likeness only where the store has an embedder; "
    "else it is not used.",
}


def methods(part: str, *, kind: str) -> Mapping[str, Callable[..., Any]]:
    """The public methods of a part of a client, by name."""
    return {
        name: method
        for name, method in vars(CLASSES[kind, part]).items()
        if not name.startswith("_") and inspect.isfunction(method)
    }


def names() -> Iterator[str]:
    """Every method that either client has: ``threads.create``."""
    for part in PARTS:
        found = {name: None for kind in KINDS for name in methods(part, kind=kind)}
        yield from (f"{part}.{name}" for name in found)


def options(name: str) -> frozenset[str]:
    """What can be given to a method, beside headers and query parameters of one's own."""
    part, _, method = name.partition(".")
    found: set[str] = set()
    for kind in KINDS:
        if function := methods(part, kind=kind).get(method):
            found |= set(inspect.signature(inspect.unwrap(function)).parameters)
    return frozenset(found - COMMON)
