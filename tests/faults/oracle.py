"""What has to hold after any fault, whatever happened. One function: ``verdict``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from redis.asyncio import Redis

from graphs.event_log import PAUSED, TERMINAL, position
from graphs.keys import Keys, thread_name
from graphs.saver import RedisSaver
from server.runs.ledger import RedisRunLedgers
from server.runs.record import RunRecord
from tests.faults import countersigned
from tests.faults.graph import steps_of
from tests.faults.provider import Books
from tests.faults.world import World


class OracleError(AssertionError):
    """Something that has to hold does not; the message says what."""


@dataclass(frozen=True, kw_only=True)
class Accepted:
    """A run that the server said it has, and what is expected of it.

    ``program`` is None for a run of the team. ``ends`` are the states that it may be in.
    """

    run_id: str
    thread_id: str
    tenant: str
    name: str
    program: str | None
    ends: Collection[str] = ("success",)


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Steps of a run that may have happened again, since something died under them."""

    by_run: Mapping[str, Collection[str]] = field(default_factory=dict)
    anywhere: int = 0
    """How many further repetitions are allowed in any place: deaths at unknown places."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that the oracle looks at."""

    redis: Redis
    keys: Keys
    world: World
    accepted: Collection[Accepted]
    records: Mapping[str, RunRecord | None]
    repeated: Repeated
    books: Mapping[str, Books]
    killed: bool
    """Whether a process died or lost its line, so that the ledger may hold more than was served."""
    gone: Collection[str] = ()
    """Runs that were rolled back: nothing of them may be left."""


async def verdict(found: Evidence) -> list[str]:
    """Each thing that does not hold, in words; nothing where all is well."""
    problems: list[str] = []
    for run in found.accepted:
        problems += _terminal(run, found.records.get(run.run_id))
        problems += await _log(run, found)
    for tenant, thread_id in sorted({(run.tenant, run.thread_id) for run in found.accepted}):
        problems += await _chain(tenant, thread_id, found)
    problems += await _effects(found)
    problems += await _ledgers(found)
    problems += await _left(found)
    problems += await _countersigned(found)
    return problems


async def _countersigned(found: Evidence) -> list[str]:
    """(iii, v, vi) What people were asked, what they said, and what ran."""
    records = {run_id: record for run_id, record in found.records.items() if record is not None}
    return await countersigned.problems(
        found.redis,
        found.keys,
        runs={run_id: str(record.status) for run_id, record in records.items()},
        tenants={run.tenant for run in found.accepted},
        calls=await found.world.calls(),
    )


def _terminal(run: Accepted, record: RunRecord | None) -> list[str]:
    """(i) Every accepted run is known, and in a state in which it may be."""
    if record is None:
        return [f"(i) {run.name}: accepted, and now there is no record of {run.run_id}"]
    if record.status not in run.ends:
        why = f" ({record.error})" if record.error else ""
        return [f"(i) {run.name}: is {record.status}{why}, expected {'/'.join(run.ends)}"]
    return []


async def _log(run: Accepted, found: Evidence) -> list[str]:
    """(i, v) One end in the log, and nothing behind it; ids only grow."""
    problems = []
    entries = [e async for e in _entries(found, run.tenant, run.thread_id)]
    ids = [position(entry_id) for entry_id, _, _ in entries]
    if ids != sorted(set(ids)):
        problems.append(f"(v) {run.thread_id}: event ids do not strictly increase")
    kinds = [event["type"] for _, run_id, event in entries if run_id == run.run_id]
    ends = [place for place, kind in enumerate(kinds) if kind in TERMINAL]
    record = found.records.get(run.run_id)
    if record is not None and record.status == "interrupted":
        if ends or not kinds or kinds[-1] != PAUSED:
            problems.append(f"(v) {run.name}: it is paused, but its log ends {kinds[-3:]}")
    elif len(ends) != 1:
        problems.append(f"(i) {run.name}: {len(ends)} terminal events; its log ends {kinds[-4:]}")
    elif ends[0] != len(kinds) - 1:
        problems.append(f"(v) {run.name}: events behind its end: {kinds[ends[0] :]}")
    attempts: list[int] = []
    for _, run_id, event in entries:
        if run_id != run.run_id:
            continue
        if event["type"] == PAUSED:
            # A run that goes on after a pause counts its attempts anew.
            attempts = []
        if event["type"] == "run.started":
            attempts.append(event["attempt"])
            if attempts != sorted(attempts):
                problems.append(f"(v) {run.name}: attempts began in the order {attempts}")
    return problems


async def _entries(
    found: Evidence, tenant: str, thread_id: str
) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    stored = await found.redis.xrange(found.keys.events(tenant, thread_id))
    for entry_id, fields in cast("list[tuple[bytes, dict[bytes, bytes]]]", stored):
        yield entry_id.decode(), fields[b"r"].decode(), orjson.loads(fields[b"e"])


async def _chain(tenant: str, thread_id: str, found: Evidence) -> list[str]:
    """(ii) Checkpoints form one chain, and the steps done are those of the programs, in order."""
    saver = RedisSaver(found.redis, found.keys)
    name = thread_name(tenant, thread_id)
    history = [
        one async for one in saver.alist({"configurable": {"thread_id": name, "checkpoint_ns": ""}})
    ]
    history.reverse()
    problems = []
    before: str | None = None
    last = -2
    for one in history:
        parent = one.parent_config["configurable"]["checkpoint_id"] if one.parent_config else None
        step = int(one.metadata["step"])
        if parent != before:
            problems.append(f"(ii) {thread_id}: step {step} has parent {parent}, not {before}")
        if step <= last:
            problems.append(f"(ii) {thread_id}: step {step} follows step {last}")
        before, last = one.config["configurable"]["checkpoint_id"], step
    done = history[-1].checkpoint["channel_values"].get("done", []) if history else []
    for run in found.accepted:
        if run.thread_id != thread_id or run.tenant != tenant or run.program is None:
            continue
        mine = [step for step in done if step.startswith(f"{run.name}:")]
        expected = [f"{run.name}:{step}" for step in steps_of(run.program)]
        record = found.records.get(run.run_id)
        if record is not None and record.status == "success":
            if mine != expected:
                problems.append(f"(ii) {run.name}: its thread holds the steps {mine}")
        elif mine != expected[: len(mine)]:
            problems.append(f"(ii) {run.name}: its steps {mine} are no beginning of {expected}")
    return problems


async def _effects(found: Evidence) -> list[str]:
    """(iii) No effect is missing, and only those steps that something died under came again."""
    problems = []
    counts = await found.world.repeatable()
    applied = await found.world.applied()
    spare = found.repeated.anywhere
    for run in found.accepted:
        if run.program is None:
            continue
        record = found.records.get(run.run_id)
        for step in steps_of(run.program):
            times = counts[run.name, step]
            finished = record is not None and record.status == "success"
            if finished and (times == 0 or f"{run.name}|{step}" not in applied):
                problems.append(f"(iii) {run.name}: step {step} left no effect")
            if times > 1 and step not in found.repeated.by_run.get(run.name, ()):
                spare -= times - 1
                if spare < 0:
                    problems.append(f"(iii) {run.name}: step {step} had its effect {times} times")
    return problems


async def _ledgers(found: Evidence) -> list[str]:
    """(iv) A ledger never holds less than was served; where nothing died, exactly that."""
    problems = []
    ledgers = RedisRunLedgers(found.redis, found.keys)
    for run in found.accepted:
        books = found.books.get(run.name)
        if books is None:
            continue
        spent = (await ledgers.account(run.run_id)).spent
        tokens = spent.input_tokens + spent.output_tokens
        exact = not found.killed and not books.untold and books.requests == books.told
        if tokens < books.tokens or (exact and tokens != books.tokens):
            problems.append(f"(iv) {run.name}: {tokens} in its ledger, {books.tokens} served")
        if exact and spent.model_calls != books.told:
            problems.append(
                f"(iv) {run.name}: {spent.model_calls} calls in its ledger, {books.told} served"
            )
    return problems


async def _left(found: Evidence) -> list[str]:
    """(vi) No key is left that says that something is going on."""
    keys, redis = found.keys, found.redis
    problems = []
    waiting = {
        run.run_id
        for run in found.accepted
        if (record := found.records.get(run.run_id)) is not None and record.status == "interrupted"
    }
    tenants = {run.tenant for run in found.accepted}
    threads = {(run.tenant, run.thread_id) for run in found.accepted}
    names = [keys.runs_due, keys.runs_dispatched, keys.runs_leases, keys.runs_cancels]
    names += [keys.runs_untold, keys.runs_parked, keys.runs_turns]
    names += [keys.tenant_running(tenant) for tenant in tenants]
    names += [keys.tenant_waiting(tenant) for tenant in tenants]
    names += [keys.thread_queue(*thread) for thread in threads]
    for name in names:
        for member in await _members(redis, name):
            if member not in waiting:
                problems.append(f"(vi) {name} still holds {member}")
    for tenant, thread_id in threads:
        holder = cast("bytes | None", await redis.get(keys.fence(thread_name(tenant, thread_id))))
        if holder is not None:
            problems.append(f"(vi) {thread_id} is still held by {holder.decode()}")
    for run_id in found.gone:
        if await redis.exists(keys.run(run_id)):
            problems.append(f"(vi) {run_id} was rolled back, and its record is there")
    return problems


async def _members(redis: Redis, name: str) -> list[str]:
    match await redis.type(name):
        case b"set":
            found = await cast("Any", redis.smembers(name))
        case b"zset":
            found = await cast("Any", redis.zrange(name, 0, -1))
        case _:
            found = []
    return [member.decode() for member in found]
