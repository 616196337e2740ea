"""The names of everything in Redis: the one module that knows them.

Keys that one script touches share a ``{hash tag}``, so that they live on one node of a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1
from urllib.parse import quote

DEFAULT_PREFIX = "counterpoint:"
DEFAULT_TENANT = "default"


def _safe(name: str) -> str:
    """An id from outside, without braces, colons or glob characters."""
    return quote(name, safe="-_.~")


def thread_name(tenant: str, thread_id: str) -> str:
    """What the checkpoint saver knows a tenant's thread as."""
    return f"{tenant}:{thread_id}"


@dataclass(frozen=True, kw_only=True)
class Keys:
    """All key names under one prefix, which ends in a colon."""

    prefix: str = DEFAULT_PREFIX

    def thread(self, tenant: str, thread_id: str) -> str:
        """What the keys of one thread start with."""
        return f"{self.prefix}thread:{{{_safe(tenant)}:{_safe(thread_id)}}}:"

    def events(self, tenant: str, thread_id: str) -> str:
        """Stream: the event log of a thread."""
        return self.thread(tenant, thread_id) + "events"

    def events_meta(self, tenant: str, thread_id: str) -> str:
        """Hash: where each run starts and ends in the log, and up to where it was trimmed."""
        return self.thread(tenant, thread_id) + "events:meta"

    def run(self, run_id: str) -> str:
        """Hash: a run record."""
        return f"{self.prefix}{{runs}}:run:{_safe(run_id)}"

    @property
    def runs_active(self) -> str:
        """Set: ids of the runs that are pending or running."""
        return f"{self.prefix}{{runs}}:active"

    @property
    def runs_closing(self) -> str:
        """Set: ids of the runs whose end is stored but perhaps not yet in the event log."""
        return f"{self.prefix}{{runs}}:closing"

    def thread_runs(self, tenant: str, thread_id: str) -> str:
        """Sorted set: ids of a thread's runs by creation, in microseconds."""
        return f"{self.prefix}{{runs}}:thread:{_safe(tenant)}:{_safe(thread_id)}"

    @property
    def queue(self) -> str:
        """The name of the queue; the engine builds its own keys under it."""
        return f"{self.prefix}queue"

    def run_ledger(self, run_id: str) -> str:
        """Hash: what a run has spent, and what its provider attempts under way may spend."""
        return f"{self.prefix}{{runs}}:ledger:{_safe(run_id)}"

    def store(self, tenant: str) -> str:
        """What the keys of a tenant's long-term store start with."""
        return f"{self.prefix}store:{{{_safe(tenant)}}}:"

    def checkpoints(self, thread_id: str) -> str:
        """What the keys of one thread's checkpoints start with."""
        return f"{self.prefix}checkpoint:{{{_safe(thread_id)}}}:"

    def fence(self, thread_name: str) -> str:
        """String: the stamp of the run whose writes this thread takes now; absent when idle."""
        return f"{self.prefix}fence:{{{_safe(thread_name)}}}"

    @property
    def checkpoint_threads(self) -> str:
        """Set: ids of the threads that have checkpoints."""
        return f"{self.prefix}checkpoint:threads"

    def checkpoint_run(self, run_id: str) -> str:
        """Set: ids of the threads that hold checkpoints of a run."""
        return f"{self.prefix}checkpoint:run:{_safe(run_id)}"

    def model_tools(self, digest: str) -> str:
        """String: how a model calls tools, as found out; by the SHA-256 of its URL and name."""
        return f"{self.prefix}model-tools:{_safe(digest)}"

    def assistant(self, tenant: str, assistant_id: str) -> str:
        """Hash: an assistant, with all its versions."""
        return f"{self.prefix}assistant:{_safe(tenant)}:{_safe(assistant_id)}"

    def assistants(self, tenant: str) -> str:
        """Sorted set: ids of a tenant's stored assistants by creation, in microseconds."""
        return f"{self.prefix}assistants:{_safe(tenant)}"

    def assistants_begun(self, tenant: str) -> str:
        """String: since when, in microseconds, a tenant has assistants."""
        return f"{self.prefix}assistants:{_safe(tenant)}:begun"

    def thread_record(self, tenant: str, thread_id: str) -> str:
        """Hash: a thread, its status and its metadata."""
        return self.thread(tenant, thread_id) + "record"

    def threads(self, tenant: str) -> str:
        """Sorted set: ids of a tenant's threads by creation, in microseconds."""
        return f"{self.prefix}threads:{_safe(tenant)}"

    def threads_updated(self, tenant: str) -> str:
        """Sorted set: ids of a tenant's threads by their last change, in microseconds."""
        return f"{self.prefix}threads:{_safe(tenant)}:updated"

    def threads_by(self, tenant: str) -> str:
        """What the names of the sets of a tenant's threads by metadata start with.

        ``thread_metadata`` says how they go on; a script makes them itself.
        """
        return f"{self.prefix}threads:{_safe(tenant)}:by:"

    def thread_metadata(self, tenant: str, key: str, value_json: bytes) -> str:
        """Set: ids of the threads whose metadata has this scalar, as JSON, under a key."""
        found = sha1(key.encode() + b"\x1f" + value_json, usedforsecurity=False)
        return self.threads_by(tenant) + found.hexdigest()

    @property
    def threads_expiring(self) -> str:
        """Sorted set: threads with a time to live, as ``tenant:thread``, by when to look again."""
        return f"{self.prefix}threads-expiring"

    @property
    def threads_leaving(self) -> str:
        """Set: deleted threads of which something may be left, as ``tenant:thread``."""
        return f"{self.prefix}threads-leaving"

    def thread_queue(self, tenant: str, thread_id: str) -> str:
        """Sorted set: ids of a thread's runs that are pending or running, in order."""
        return self.thread(tenant, thread_id) + "queue"

    @property
    def tenants(self) -> str:
        """Set: every tenant that has, or had, threads."""
        return f"{self.prefix}tenants"
