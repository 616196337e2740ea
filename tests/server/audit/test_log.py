"""The audit log: each entry chained to the last, and one that was tampered with is named."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from graphs.keys import APPROVAL_NAMES, RUN_NAMES, Keys
from server.audit import scripts
from server.audit.chain import Head, check
from server.audit.entry import FIRST, Entry, Kind, Line, canonical, link, read
from server.audit.log import Audit
from server.clock import moment
from tests import examples

Stored = list[tuple[bytes, dict[bytes, bytes]]]


@pytest.fixture
def audit(redis: Redis, keys: Keys) -> Audit:
    return Audit(redis, keys)


def line(number: int = 0, **given: Any) -> Line:
    told = {"kind": Kind.DECIDED, "tenant": "default", "who": f"o{number}", "tool": "refund"}
    return Line(**{**told, **given})


async def filled(audit: Audit, many: int = 5) -> list[Entry]:
    for number in range(many):
        await audit.append(line(number, args_before={"amount": 12.5, "to": "Ünal"}))
    return [one async for one in audit.entries("default")]


async def rewritten(
    redis: Redis, keys: Keys, change: Callable[[Stored], Stored], tenant: str = "default"
) -> None:
    """What somebody does who may write to Redis: a stream takes no change in its middle."""
    stream = keys.audit(tenant)
    found = cast("Stored", await redis.xrange(stream))
    await redis.delete(stream)
    for number, fields in change(found):
        await redis.xadd(stream, cast("Any", fields), id=number)


def faults(verdict: Any) -> list[str]:
    return [one.what for one in verdict.faults]


async def test_entries_are_counted_chained_and_read_back(audit: Audit) -> None:
    entries = await filled(audit)
    assert [one.seq for one in entries] == [1, 2, 3, 4, 5]
    assert [one.prev for one in entries[1:]] == [one.hash for one in entries[:-1]]
    assert entries[0].fields["args_before"] == {"amount": 12.5, "to": "Ünal"}
    verdict = await audit.verify("default")
    assert (verdict.whole, verdict.entries) == (True, 5)
    assert verdict.head == Head(seq=5, hash=entries[-1].hash)


async def test_the_hash_can_be_computed_by_anybody(audit: Audit) -> None:
    """As docs/approvals.md writes it down, with nothing of ours."""
    one = (await filled(audit, 1))[0].shown()
    body = {name: one[name] for name in one if name not in {"seq", "at", "prev", "hash"}}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    inner = hashlib.sha256(text.encode()).hexdigest()
    micros = (datetime.fromisoformat(one["at"]) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )
    outer = f"{one['prev']}\n{one['seq']}\n{micros}\n{inner}"
    assert one["hash"] == hashlib.sha256(outer.encode()).hexdigest()


async def test_writers_at_once_make_one_chain(audit: Audit) -> None:
    await asyncio.gather(*(audit.append(line(number)) for number in range(100)))
    verdict = await audit.verify("default")
    assert (verdict.whole, verdict.entries) == (True, 100)


async def test_tenants_have_logs_of_their_own(audit: Audit) -> None:
    await audit.append(line())
    await audit.append(line(tenant="acme"))
    assert [one.seq async for one in audit.entries("acme")] == [1]
    with pytest.raises(ValueError, match="one tenant"):
        await audit.append(line(), line(tenant="acme"))


async def test_a_changed_entry_is_named(audit: Audit, redis: Redis, keys: Keys) -> None:
    await filled(audit)

    def change(found: Stored) -> Stored:
        found[2][1][b"body"] = found[2][1][b"body"].replace(b"o2", b"o9")
        return found

    await rewritten(redis, keys, change)
    assert faults(await audit.verify("default")) == [
        "entry 3 was changed: its hash does not fit what it says"
    ]


@pytest.mark.parametrize("name", [b"at", b"prev", b"hash", b"body"])
async def test_whatever_of_an_entry_is_changed_it_is_named(
    audit: Audit, redis: Redis, keys: Keys, name: bytes
) -> None:
    await filled(audit)

    def change(found: Stored) -> Stored:
        before = found[1][1][name]
        found[1][1][name] = (b"8" if before.startswith(b"7") else b"7") + before[1:]
        return found

    await rewritten(redis, keys, change)
    assert "entry 2 was changed" in faults(await audit.verify("default"))[0]


async def test_a_removed_entry_is_named(audit: Audit, redis: Redis, keys: Keys) -> None:
    await filled(audit)
    await redis.xdel(keys.audit("default"), "3-0")
    assert faults(await audit.verify("default")) == ["entry 3 is missing"]


async def test_entries_removed_at_the_end_are_named(audit: Audit, redis: Redis, keys: Keys) -> None:
    await filled(audit)
    await redis.xdel(keys.audit("default"), "4-0", "5-0")
    assert faults(await audit.verify("default")) == ["entries 4 to 5 are missing"]


async def test_reordered_entries_are_named(audit: Audit, redis: Redis, keys: Keys) -> None:
    await filled(audit)

    def change(found: Stored) -> Stored:
        found[1], found[2] = (found[1][0], found[2][1]), (found[2][0], found[1][1])
        return found

    await rewritten(redis, keys, change)
    assert faults(await audit.verify("default")) == [
        "entry 2 was moved: it is what stood at 3",
        "entry 3 was moved: it is what stood at 2",
        "entry 4 does not follow entry 3: one of them was replaced or moved",
    ]


async def test_a_replaced_entry_with_a_hash_of_its_own_is_named(
    audit: Audit, redis: Redis, keys: Keys
) -> None:
    entries = await filled(audit)

    def change(found: Stored) -> Stored:
        fields = found[2][1]
        fields[b"body"] = fields[b"body"].replace(b"o2", b"o9")
        new = link(prev=entries[2].prev, seq=3, at=entries[2].at, body=fields[b"body"].decode())
        fields[b"hash"] = new.encode()
        return found

    await rewritten(redis, keys, change)
    assert faults(await audit.verify("default")) == [
        "entry 4 does not follow entry 3: one of them was replaced or moved"
    ]


async def test_an_entry_that_was_put_behind_the_end_is_named(
    audit: Audit, redis: Redis, keys: Keys
) -> None:
    await filled(audit)

    def change(found: Stored) -> Stored:
        return [*found, (b"6-0", dict(found[4][1]))]

    await rewritten(redis, keys, change)
    assert any("entry 6" in what for what in faults(await audit.verify("default")))


async def test_a_log_that_was_written_anew_is_found_out_by_a_note_of_the_old(
    audit: Audit, redis: Redis, keys: Keys
) -> None:
    await filled(audit)
    noted = (await audit.verify("default")).head
    await redis.delete(keys.audit("default"), keys.audit_head("default"))
    await filled(audit)
    assert (await audit.verify("default")).whole
    assert faults(await audit.verify("default", expected=noted)) == [
        "entry 5 is not the one that was noted earlier"
    ]
    await redis.delete(keys.audit("default"), keys.audit_head("default"))
    assert faults(await audit.verify("default", expected=noted)) == [
        "entry 5, noted earlier, is missing"
    ]


async def test_entries_that_come_while_it_is_checked_are_no_fault(audit: Audit) -> None:
    await filled(audit, 20)
    verdicts, _ = await asyncio.gather(
        asyncio.gather(*(audit.verify("default") for _ in range(10))),
        asyncio.gather(*(audit.append(line(number)) for number in range(20))),
    )
    assert [faults(verdict) for verdict in verdicts] == [[]] * 10


async def test_what_is_read_out_of_an_export_can_be_checked(audit: Audit) -> None:
    entries = await filled(audit)
    lines = [json.dumps(one.shown()) for one in entries]
    head = Head(seq=5, hash=entries[-1].hash)
    assert check((read(json.loads(one)) for one in lines), head=head, tenant="default").faults == []
    forged = [json.loads(one) for one in lines]
    forged[3]["who"] = "eve"
    found = check((read(one) for one in forged), head=head, tenant="default")
    assert [one.seq for one in found.faults] == [4]


@given(
    where=st.integers(0, 9),
    how=st.sampled_from(["change", "remove", "swap", "repeat", "tenant"]),
    to=st.integers(0, 9),
)
@settings(max_examples=examples.times(200))
def test_no_tampering_in_the_middle_goes_unnoticed(where: int, how: str, to: int) -> None:
    chain: list[Entry] = []
    for number in range(10):
        chain.append(_linked(chain, line(number)))
    head = Head(seq=10, hash=chain[-1].hash)
    assert check(chain, head=head, tenant="default").faults == []
    match how:
        case "change":
            chain[where] = replace(chain[where], fields={**chain[where].fields, "who": "eve"})
        case "remove":
            del chain[where]
        case "swap" if where != to:
            chain[where], chain[to] = chain[to], chain[where]
        case "repeat":
            chain.insert(to, chain[where])
        case "tenant":
            chain[where] = replace(chain[where], fields={**chain[where].fields, "tenant": "acme"})
        case _:
            return
    assert check(chain, head=head, tenant="default").faults


def _linked(chain: list[Entry], told: Line) -> Entry:
    prev, seq, at = chain[-1].hash if chain else FIRST, len(chain) + 1, moment(10**15 + len(chain))
    body = json.loads(told.body)
    hashed = link(prev=prev, seq=seq, at=at, body=canonical(body))
    return Entry(seq=seq, at=at, prev=prev, hash=hashed, fields=body)


async def test_the_hash_within_redis_is_sha_256(redis: Redis) -> None:
    names = RUN_NAMES + APPROVAL_NAMES + scripts.CLOCK
    script = redis.register_script(names + scripts.AUDIT + "return sha256(ARGV[1])")
    texts = [b"x" * size for size in (0, 1, 54, 55, 56, 57, 63, 64, 65, 119, 120, 500)]
    texts += [bytes(range(256)), "Größe\n0".encode()]
    for text in texts:
        reply = await script(keys=["p"], args=[text])
        assert reply.decode() == hashlib.sha256(text).hexdigest(), len(text)
