"""The names of everything in Redis: this and ``key_names``, for scripts, know them.

Keys that one script touches share a ``{hash tag}``, so that they live on one node of a cluster.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from hashlib import sha1
from urllib.parse import quote

from graphs.key_names import APPROVAL_NAMES as APPROVAL_NAMES
from graphs.key_names import RUN_NAMES as RUN_NAMES

DEFAULT_PREFIX = "counterpoint:"
DEFAULT_TENANT = "default"


@functools.lru_cache(maxsize=1024)
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
    def runs_all(self) -> str:
        """Sorted set: ids of all runs by creation, in microseconds."""
        return f"{self.prefix}{{runs}}:all"

    @property
    def runs_due(self) -> str:
        """Sorted set: runs that begin later, by when, in microseconds."""
        return f"{self.prefix}{{runs}}:due"

    @property
    def runs_dispatched(self) -> str:
        """Sorted set: runs that were let into the queue and have not left it, by when."""
        return f"{self.prefix}{{runs}}:dispatched"

    @property
    def runs_leases(self) -> str:
        """Sorted set: running runs by the end of their lease, in microseconds."""
        return f"{self.prefix}{{runs}}:leases"

    @property
    def runs_cancels(self) -> str:
        """Sorted set: running runs that are unwanted and whose worker has not heard it, by when."""
        return f"{self.prefix}{{runs}}:cancels"

    @property
    def runs_cancelled(self) -> str:
        """Channel: says which running run is unwanted."""
        return f"{self.prefix}{{runs}}:cancelled"

    @property
    def runs_untold(self) -> str:
        """Sorted set: runs whose end or pause is stored, perhaps not yet in the event log."""
        return f"{self.prefix}{{runs}}:untold"

    @property
    def runs_parked(self) -> str:
        """Sorted set: runs that only a newer worker understands, by their format."""
        return f"{self.prefix}{{runs}}:parked"

    @property
    def runs_dead(self) -> str:
        """Sorted set: runs whose attempts are spent, by when they were given up."""
        return f"{self.prefix}{{runs}}:dead"

    @property
    def runs_turns(self) -> str:
        """Sorted set: tenants with a run that may begin, by whose turn it is."""
        return f"{self.prefix}{{runs}}:turns"

    @property
    def runs_workers(self) -> str:
        """Sorted set: workers by when they are taken for dead, in microseconds."""
        return f"{self.prefix}{{runs}}:workers"

    @property
    def runs_slots(self) -> str:
        """Hash: how many runs each worker takes at once."""
        return f"{self.prefix}{{runs}}:slots"

    @property
    def runs_lasts(self) -> str:
        """Hash: by worker, the run that it has for its last attempt."""
        return f"{self.prefix}{{runs}}:lasts"

    @property
    def runs_capacity(self) -> str:
        """String: how many runs all live workers take at once."""
        return f"{self.prefix}{{runs}}:capacity"

    @property
    def runs_turn(self) -> str:
        """String: the number of the last turn that was given to a tenant."""
        return f"{self.prefix}{{runs}}:turn"

    @property
    def runs_order(self) -> str:
        """String: the place in order that the last run got."""
        return f"{self.prefix}{{runs}}:order"

    def tenant_budget(self, tenant: str, period: str) -> str:
        """Hash: what a tenant has spent in a day or a month, and what its attempts may spend."""
        return f"{self.prefix}budget:{_safe(tenant)}:{period}"

    def tenant_running(self, tenant: str) -> str:
        """Set: a tenant's runs that were let into the queue."""
        return f"{self.prefix}{{runs}}:tenant:{_safe(tenant)}:running"

    def tenant_waiting(self, tenant: str) -> str:
        """Sorted set: a tenant's runs that may begin and wait for their turn, in order."""
        return f"{self.prefix}{{runs}}:tenant:{_safe(tenant)}:waiting"

    def idempotency(self, tenant: str, key: str) -> str:
        """String: the run that was made under a caller's Idempotency-Key."""
        found = sha1(key.encode(), usedforsecurity=False).hexdigest()
        return f"{self.prefix}{{runs}}:idempotency:{_safe(tenant)}:{found}"

    @staticmethod
    def quoted(name: str) -> str:
        """A tenant or thread as it stands within names, for scripts that make names themselves."""
        return _safe(name)

    @property
    def queue(self) -> str:
        """The name of the queue; the engine builds its own keys under it."""
        return f"{self.prefix}queue"

    def run_ledger(self, run_id: str) -> str:
        """Hash: what a run has spent, and what its provider attempts under way may spend."""
        return f"{self.prefix}{{runs}}:ledger:{_safe(run_id)}"

    def trace(self, run_id: str) -> str:
        """Hash: spans of a run as JSON, by segment and batch. Without an id: how they start."""
        return f"{self.prefix}{{runs}}:trace:{_safe(run_id)}"

    @property
    def traces(self) -> str:
        """Sorted set: runs whose trace is kept, by when it was last written."""
        return f"{self.prefix}{{runs}}:traces"

    def run_feedback(self, run_id: str) -> str:
        """Hash: what people think of a run's answer, as JSON by their names."""
        return f"{self.prefix}{{runs}}:feedback:{_safe(run_id)}"

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

    def threads_by_status(self, tenant: str, status: str) -> str:
        """Set: ids of a tenant's threads in a status; for idle ones there is none."""
        return f"{self.threads_by(tenant)}status:{status}"

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

    def thread_cleaning(self, tenant: str, thread_id: str) -> str:
        """Who drops what a deleted thread has left: one process at a time."""
        return self.thread(tenant, thread_id) + "cleaning"

    def thread_queue(self, tenant: str, thread_id: str) -> str:
        """Sorted set: ids of a thread's runs that are pending or running, in order."""
        return self.thread(tenant, thread_id) + "queue"

    def thread_effects(self, tenant: str, thread_id: str) -> str:
        """Hash: the calls by which a thread's runs write to the world, as intended or done."""
        return self.thread(tenant, thread_id) + "effects"

    def thread_files(self, tenant: str, thread_id: str) -> str:
        """Hash: a thread's files by id."""
        return self.thread(tenant, thread_id) + "files"

    def thread_file(self, tenant: str, thread_id: str, sha256: str) -> str:
        """String: the content of a thread's file, by its SHA-256."""
        return self.thread(tenant, thread_id) + f"file:{sha256}"

    @property
    def threads_reading(self) -> str:
        """Set: threads, with their tenants, whose files are searchable as documents."""
        return f"{self.prefix}threads-reading"

    @property
    def tenants(self) -> str:
        """Set: every tenant that has, or had, threads."""
        return f"{self.prefix}tenants"

    def cron(self, cron_id: str) -> str:
        """Hash: a cron."""
        return f"{self.prefix}{{crons}}:cron:{_safe(cron_id)}"

    def crons(self, tenant: str) -> str:
        """Sorted set: ids of a tenant's crons by creation, in microseconds."""
        return f"{self.prefix}{{crons}}:tenant:{_safe(tenant)}"

    @property
    def crons_due(self) -> str:
        """Sorted set: crons by when to look at them next, in microseconds."""
        return f"{self.prefix}{{crons}}:due"

    def webhook(self, delivery_id: str) -> str:
        """Hash: what is owed to a webhook, or was delivered."""
        return f"{self.prefix}{{webhooks}}:delivery:{_safe(delivery_id)}"

    def webhook_run(self, delivery_id: str) -> str:
        """Hash: the run record as it was when its end or pause was owed to a webhook."""
        return f"{self.prefix}{{webhooks}}:run:{_safe(delivery_id)}"

    def webhooks_of(self, run_id: str) -> str:
        """Set: ids of the deliveries that a run has brought about."""
        return f"{self.prefix}{{webhooks}}:of:{_safe(run_id)}"

    @property
    def webhooks_due(self) -> str:
        """Sorted set: deliveries by when to try them next, in microseconds."""
        return f"{self.prefix}{{webhooks}}:due"

    def secret(self, of: str) -> str:
        """String: what ``webhooks`` (where no setting says it) or ``files`` are signed with."""
        return f"{self.prefix}{{{of}}}:secret"

    def approval(self, approval_id: str) -> str:
        """Hash: a request to a person, and how it was decided."""
        return f"{self.prefix}{{approvals}}:approval:{_safe(approval_id)}"

    def approvals_of_run(self, run_id: str) -> str:
        """Sorted set: ids of what a run has asked, by when, in microseconds."""
        return f"{self.prefix}{{approvals}}:run:{_safe(run_id)}"

    def approvals_of_thread(self, tenant: str, thread_id: str) -> str:
        """Sorted set: ids of what a thread's runs have asked, by when, in microseconds."""
        return f"{self.prefix}{{approvals}}:thread:{_safe(tenant)}:{_safe(thread_id)}"

    def approvals(self, tenant: str, status: str = "all") -> str:
        """Sorted set: ids of a tenant's approvals in a status, by when they were asked."""
        return f"{self.prefix}{{approvals}}:tenant:{_safe(tenant)}:{status}"

    def approvals_changes(self, tenant: str) -> str:
        """Stream: the latest changes of a tenant's approvals."""
        return f"{self.prefix}{{approvals}}:tenant:{_safe(tenant)}:changes"

    @property
    def approvals_expiring(self) -> str:
        """Sorted set: pending approvals by when they expire, in microseconds."""
        return f"{self.prefix}{{approvals}}:expiring"

    @property
    def approvals_open(self) -> str:
        """Sorted set: runs with pending approvals, by when they were looked at."""
        return f"{self.prefix}{{approvals}}:open"

    @property
    def approvals_resuming(self) -> str:
        """Sorted set: runs of which something was decided and not yet handed to them, by when."""
        return f"{self.prefix}{{approvals}}:resuming"

    @property
    def approvals_over(self) -> str:
        """Sorted set: approvals that have ended, by when, in microseconds."""
        return f"{self.prefix}{{approvals}}:over"

    def audit(self, tenant: str) -> str:
        """Stream: a tenant's audit log; ids are ``N-0``, N counting from 1."""
        return f"{self.prefix}audit:{{{_safe(tenant)}}}:log"

    def audit_head(self, tenant: str) -> str:
        """Hash: number and hash of the last entry of a tenant's audit log."""
        return f"{self.prefix}audit:{{{_safe(tenant)}}}:head"

    def slack(self, *names: str) -> str:
        """Links and what is owed: ``links.py`` and ``owed.py`` in ``server/slack`` name them."""
        return f"{self.prefix}{{slack}}:" + ":".join(map(_safe, names))
