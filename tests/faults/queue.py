"""The approval queue as a worker, a decider or a scenario opens it."""

from __future__ import annotations

from redis.asyncio import Redis

from graphs.event_log import EventLog
from graphs.keys import Keys
from server.approvals.allowed import judging
from server.approvals.answering import answer
from server.approvals.service import Approvals
from server.approvals.store import ApprovalStore
from server.runs.durability import Durability
from server.runs.queue import RunQueue
from server.runs.records import RunRecords
from server.runs.service import Runs
from tests.faults import tools


def approvals_of(redis: Redis, keys: Keys, queue: RunQueue, *, records: RunRecords) -> Approvals:
    """What is decided is on disk before it is answered, at once, as on our own Redis."""
    durability = Durability(redis, disk=True, hurry=True)
    runs = Runs(records=records, log=EventLog(redis, keys), queue=queue, durability=durability)
    return Approvals(
        ApprovalStore(redis, keys),
        runs=runs,
        records=records,
        answer=answer,
        judge=judging(tools.RULES),
        durability=durability,
    )
