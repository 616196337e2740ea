"""Whom a run's model calls are for: a person who waits, or nobody at the moment."""

from __future__ import annotations

from dataclasses import replace

from models.priorities import Priority, Workload
from server.runs.asked import Asked
from server.runs.record import RunRecord

PRIORITY = "priority"
"""The key of ``config.configurable`` that says it of a run."""


def workload_of(record: RunRecord) -> Workload:
    """A thread's runs are one session: they share the beginnings of their prompts."""
    return Workload(
        session=f"{record.tenant}/{record.thread_id}", priority=priority_of(record.asked)
    )


def in_background(asked: Asked) -> Asked:
    """The same run, for which nobody waits."""
    configurable = {**asked.configurable, PRIORITY: Priority.BACKGROUND.value}
    return replace(asked, config={**asked.config, "configurable": configurable})


def priority_of(asked: Asked) -> Priority:
    """As the run says; else what a cron has fired is in the background.

    Users' graphs may have their own use for the key: other values say nothing.
    """
    said = asked.configurable.get(PRIORITY)
    if isinstance(said, str) and said in {*Priority}:
        return Priority(said)
    return Priority.BACKGROUND if "cron_id" in asked.metadata else Priority.INTERACTIVE
