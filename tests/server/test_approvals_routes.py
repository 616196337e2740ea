"""The approval queue and the audit log over HTTP, as an operator's page and its keys see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import orjson
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from graphs.keys import Keys
from guardrails.policy import Terms
from server.app import build
from server.approvals.record import Approval, Kind
from server.runs.transitions import RunStatus
from tests.server.approvals.desk import ARGS, Desk, asking, desk_of, operator
from tests.server.surface import Parts, configured, hashed, in_process, served

KEYS = [
    {"name": "ruth", "sha256": hashed("ruth"), "roles": ["user", "operator"]},
    {"name": "olga", "sha256": hashed("olga"), "roles": ["operator"]},
    {"name": "omar", "sha256": hashed("omar"), "roles": ["operator"]},
    {"name": "uma", "sha256": hashed("uma")},
    {"name": "eve", "sha256": hashed("eve"), "tenant": "acme", "roles": ["operator"]},
]
FORGED = "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def desk(parts: Parts, redis: Redis, keys: Keys) -> Desk:
    return desk_of(redis, keys, parts.queue)


@pytest.fixture
def app(parts: Parts) -> FastAPI:
    return configured(parts, keys=KEYS)


@asynccontextmanager
async def as_(app: FastAPI, key: str) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(app, **{"x-api-key": key}) as client:
        yield client


async def decide(
    app: FastAPI, one: Approval | str, key: str = "olga", **given: Any
) -> httpx.Response:
    named = one if isinstance(one, str) else one.approval_id
    headers = given.pop("headers", {})
    async with as_(app, key) as client:
        body = {"decision": "approve", **given}
        return await client.post(f"/approvals/{named}/decision", json=body, headers=headers)


async def test_the_queue_lists_what_waits_with_what_an_approver_needs(
    app: FastAPI, desk: Desk
) -> None:
    first, second = await desk.one(), await desk.one(tool="wire_money", schema=None)
    async with as_(app, "olga") as client:
        listed = (await client.get("/approvals", params={"status": "pending", "limit": 1})).json()
        rest = (await client.get("/approvals?status=pending&limit=1&offset=1")).json()
        one = (await client.get(f"/approvals/{first.approval_id}")).json()
    assert [item["id"] for item in listed["items"]] == [first.approval_id]
    assert [item["id"] for item in rest["items"]] == [second.approval_id]
    assert (listed["total"], listed["counts"]["pending"], listed["counts"]["approved"]) == (2, 2, 0)
    left, known = one.pop("seconds_left"), listed["items"][0]
    assert 86_000 < left <= 86_400
    assert known.pop("seconds_left") >= left
    assert one == known
    assert {name: one[name] for name in ("tool", "args", "agent", "requested_by", "rule")} == {
        "tool": "refund",
        "args": ARGS,
        "agent": "coder",
        "requested_by": "ruth",
        "rule": "ask for refund when amount > 100",
    }
    assert one["args_sha256"] == first.args_sha256
    assert one["open_choices"] == ["approve", "edit", "reject", "respond"]
    assert one["context"] == {"question": "Refund A-7"}


async def test_the_queue_is_filtered(app: FastAPI, desk: Desk) -> None:
    mine = await desk.one(requested_by="olga")
    other = await desk.one(tool="wire_money", schema=None)
    done = await desk.one()
    await desk.decide(done, "reject")
    await desk.approvals.claim(other.approval_id, tenant="default", caller=operator("omar"))
    wanted = {
        "status=pending": [mine, other],
        "status=rejected": [done],
        "status=pending,rejected": [mine, other, done],
        "": [mine, other, done],
        "tool=wire_money": [other],
        "agent=researcher": [],
        "agent=coder&tool=refund&status=pending": [mine],
        f"run_id={done.run_id}": [done],
        f"thread_id={mine.thread_id}": [mine],
        f"thread_id={mine.thread_id}&status=rejected": [],
        "mine=true": [mine],
        "claimable=true": [],
        "requested_by=ruth": [other, done],
    }
    async with as_(app, "olga") as client:
        for query, approvals in wanted.items():
            found = (await client.get(f"/approvals?{query}")).json()
            ids = {item["id"] for item in found["items"]}
            # What she asked for herself is hers to reject alone, and so claimable.
            expected = [mine] if query == "claimable=true" else approvals
            assert ids == {one.approval_id for one in expected}, query
            assert found["total"] == len(expected), query
        wrong = await client.get("/approvals?status=open")
        deep = await client.get("/approvals", params={"status": "[" * 5_000})
        order = (await client.get("/approvals?order=desc&status=pending")).json()
    assert wrong.status_code == deep.status_code == 422
    assert wrong.json()["detail"].startswith("status: give one or more of pending, approved")
    assert [item["id"] for item in order["items"]] == [other.approval_id, mine.approval_id]


async def test_a_decision_answers_200_403_404_409_410_and_422(app: FastAPI, desk: Desk) -> None:
    one = await desk.one()
    assert (await decide(app, one, "ruth")).status_code == 403
    assert (await decide(app, one, "uma")).status_code == 403
    assert (await decide(app, one, "eve")).status_code == 404
    assert (await decide(app, FORGED)).status_code == 404
    wrong = await decide(app, one, decision="edit", args={"amount": "x", "order": "A"})
    assert (wrong.status_code, wrong.json()["detail"][:12]) == (422, "args.amount:")
    unknown = await decide(app, one, decision="yes")
    assert (unknown.status_code, unknown.json()["detail"][:9]) == (422, "decision:")
    stale = await decide(app, one, args_sha256="0" * 64)
    assert (stale.status_code, stale.json()["approval"]["args_sha256"]) == (409, one.args_sha256)
    done = await decide(app, one, args_sha256=one.args_sha256, via="console", message="fine")
    assert (done.status_code, done.json()["status"]) == (200, "approved")
    said = done.json()["decisions"][0]
    assert (said["decider"], said["via"], said["message"]) == ("olga", "console", "fine")
    again = await decide(app, one)
    assert (again.status_code, again.json()["decisions"]) == (200, done.json()["decisions"])
    late = await decide(app, one, "omar", decision="reject")
    assert late.status_code == 409
    assert "was approved already by 'olga'" in late.json()["detail"]
    assert late.json()["approval"]["decisions"] == done.json()["decisions"]
    over = await desk.one()
    await desk.over_now(over)
    gone = await decide(app, over)
    assert (gone.status_code, "expired at" in gone.json()["detail"]) == (410, True)
    assert (await desk.run_of(one)).status is RunStatus.PENDING


async def test_an_idempotency_key_is_one_decision(app: FastAPI, desk: Desk) -> None:
    one = await desk.one(Terms(quorum=2))
    key = {"Idempotency-Key": "k1"}
    first = await decide(app, one, headers=key)
    assert (await decide(app, one, headers=key)).json()["consents"] == 1
    other = await decide(app, one, decision="reject", headers=key)
    assert (first.status_code, other.status_code) == (200, 422)
    assert other.json()["detail"].startswith("Idempotency-Key:")


async def test_many_are_decided_each_for_itself(app: FastAPI, desk: Desk) -> None:
    good, bad, lost = await desk.one(), await desk.one(), await desk.one()
    await desk.decide(lost, "reject", who="omar")
    asked = [
        {"id": good.approval_id, "decision": "approve"},
        {"id": bad.approval_id, "decision": "edit", "args": {"amount": 1}},
        {"id": lost.approval_id, "decision": "approve"},
        {"id": FORGED, "decision": "reject"},
    ]
    async with as_(app, "olga") as client:
        reply = await client.post("/approvals/decisions", json={"decisions": asked})
    items = reply.json()["items"]
    assert [(item["id"], item["status"]) for item in items] == [
        (good.approval_id, 200),
        (bad.approval_id, 422),
        (lost.approval_id, 409),
        (FORGED, 404),
    ]
    assert items[0]["approval"]["status"] == "approved"
    assert items[1]["detail"].startswith("args:")
    assert items[2]["approval"]["decisions"][0]["decider"] == "omar"


async def test_a_requester_sees_his_own_and_nobody_elses(app: FastAPI, desk: Desk) -> None:
    own, other = await desk.one(requested_by="uma"), await desk.one()
    async with as_(app, "uma") as client:
        listed = (await client.get("/approvals")).json()
        mine = await client.get(f"/approvals/{own.approval_id}")
        theirs = await client.get(f"/approvals/{other.approval_id}")
        audit = await client.get("/audit")
    assert [item["id"] for item in listed["items"]] == [own.approval_id]
    assert (listed["total"], listed["counts"]["pending"]) == (1, 1)
    assert (mine.status_code, theirs.status_code, audit.status_code) == (200, 404, 403)
    assert mine.json()["open_choices"] == []


async def test_another_tenant_sees_nothing_of_it(app: FastAPI, desk: Desk) -> None:
    one = await desk.one()
    async with as_(app, "eve") as client:
        assert (await client.get("/approvals")).json()["total"] == 0
        assert (await client.get("/audit")).json()["total"] == 0
        for path in ("", "/decision", "/claim", "/release"):
            method = "POST" if path else "GET"
            body = {"decision": "approve"} if path == "/decision" else None
            reply = await client.request(method, f"/approvals/{one.approval_id}{path}", json=body)
            assert reply.status_code == 404, path
        found = (await client.get(f"/approvals?run_id={one.run_id}")).json()
    assert found["items"] == []


async def test_a_claim_is_shown_and_given_back(app: FastAPI, desk: Desk) -> None:
    one = await desk.one()
    path = f"/approvals/{one.approval_id}"
    async with as_(app, "olga") as olga, as_(app, "omar") as omar:
        mine = await olga.post(f"{path}/claim", json={"seconds": 60})
        taken = await omar.post(f"{path}/claim")
        assert (await omar.get("/approvals?claimable=true")).json()["total"] == 0
        assert (await olga.get("/approvals?claimable=true")).json()["total"] == 1
        free = await olga.post(f"{path}/release")
    assert (mine.json()["claimed_by"], free.json()["claimed_by"]) == ("olga", None)
    assert (taken.status_code, taken.json()["detail"][:14]) == (409, "'olga' is at a")


async def frames(reply: httpx.Response) -> AsyncIterator[tuple[str, str, dict[str, Any]]]:
    event, name = "", ""
    async for line in reply.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            event = value
        elif field == "id":
            name = value
        elif field == "data":
            yield event, name, orjson.loads(value)


async def test_the_stream_tells_what_waits_then_each_change_and_goes_on_elsewhere(
    parts: Parts, desk: Desk, redis: Redis, keys: Keys
) -> None:
    """Two replicas, each with its own parts over the same Redis."""
    first = await desk.one()
    replica = Parts(**{**vars(parts), "approvals": desk.approvals})
    async with (
        served(build(parts)) as one,
        served(build(replica)) as two,
        httpx.AsyncClient(timeout=30) as c,
    ):
        async with asyncio.timeout(30), c.stream("GET", f"{one}/approvals/stream") as reply:
            told = frames(reply)
            event, last, data = await anext(told)
            assert (event, data["total"], data["items"][0]["id"]) == (
                "snapshot",
                1,
                first.approval_id,
            )
            second = await desk.one()
            event, last, data = await anext(told)
            assert (event, data["what"], data["counts"]["pending"]) == ("approval", "requested", 2)
        await desk.decide(first)
        headers = {"Last-Event-ID": last}
        async with (
            asyncio.timeout(30),
            c.stream("GET", f"{two}/approvals/stream", headers=headers) as reply,
        ):
            told = frames(reply)
            event, last, data = await anext(told)
            assert (event, data["what"], data["approval"]["id"]) == (
                "approval",
                "approved",
                first.approval_id,
            )
            await desk.decide(second, "reject")
            event, last, data = await anext(told)
            assert (data["what"], data["approval"]["status"]) == ("rejected", "rejected")
        async with (
            asyncio.timeout(30),
            c.stream("GET", f"{one}/approvals/stream", headers={"Last-Event-ID": "1-1"}) as reply,
        ):
            event, _, data = await anext(frames(reply))
            assert (event, data["total"]) == ("snapshot", 0)


async def test_a_thread_that_is_deleted_takes_its_pending_approvals_out_of_the_queue(
    app: FastAPI, desk: Desk
) -> None:
    one = await desk.approvals.get(
        (await desk.pause(run := await desk.running(FORGED), asking(run)))[0].approval_id,
        tenant="default",
    )
    async with as_(app, "olga") as client:
        assert (await client.delete(f"/threads/{FORGED}")).status_code == 204
        found = (await client.get(f"/approvals/{one.approval_id}")).json()
    assert (found["status"], found["because"]) == ("cancelled", "its thread was deleted")
    assert (await decide(app, one)).status_code == 409
    assert await desk.told() == ["requested", "cancelled"]


async def test_the_audit_log_is_listed_checked_and_exported(app: FastAPI, desk: Desk) -> None:
    one = await desk.one()
    await desk.decide(one, "edit", args={**ARGS, "amount": 90}, via="slack")
    async with as_(app, "olga") as client:
        listed = (await client.get("/audit")).json()
        decided = (await client.get("/audit?kind=decided&who=olga")).json()["items"]
        paged = (await client.get("/audit?limit=1&before=2")).json()["items"]
        checked = (await client.get("/audit/verify")).json()
        export = await client.get("/audit/export")
        noted = (await client.get("/audit/verify", params=listed["head"])).json()
        forged = (await client.get(f"/audit/verify?seq=1&hash={'0' * 64}")).json()
        half = await client.get("/audit/verify?seq=1")
    assert [item["kind"] for item in listed["items"]] == ["decided", "requested"]
    assert [item["seq"] for item in paged] == [1]
    entry = decided[0]
    assert (entry["who"], entry["role"], entry["via"]) == ("olga", "operator", "slack")
    assert (entry["args_before"]["amount"], entry["args_after"]["amount"]) == (120, 90)
    assert checked == {"ok": True, "entries": 2, "head": listed["head"], "problems": []}
    lines = [orjson.loads(line) for line in export.text.splitlines()]
    assert lines == list(reversed(listed["items"]))
    assert noted["ok"]
    assert forged["problems"] == [
        {"seq": 1, "what": "entry 1 is not the one that was noted earlier"}
    ]
    assert half.status_code == 400


async def test_without_keys_the_one_operator_decides_what_a_rule_lets_him(
    parts: Parts, desk: Desk
) -> None:
    one = await desk.one(Terms(self_approval=True), requested_by="local")
    async with in_process(build(parts)) as client:
        done = await client.post(
            f"/approvals/{one.approval_id}/decision", json={"decision": "approve"}
        )
    assert (done.status_code, done.json()["decisions"][0]["decider"]) == (200, "local")


async def test_five_hundred_that_wait_are_listed_at_once(
    app: FastAPI, desk: Desk, redis: Redis
) -> None:
    """How fast is a matter of bench/; here: few round trips, whatever their number."""
    run = await desk.running()
    plan = {"plan": ["look", "refund"], "evidence": "x" * 500}
    await desk.pause(run, *(asking(run, index=n, of=500, context=plan) for n in range(500)))
    before = (await redis.info("commandstats"))["cmdstat_hgetall"]["calls"]
    async with as_(app, "olga") as client:
        reply = await client.get("/approvals?status=pending&limit=500")
    after = (await redis.info("commandstats"))["cmdstat_hgetall"]["calls"]
    assert len(reply.json()["items"]) == 500
    assert after - before == 500


async def test_who_may_decide_by_the_rule_sees_it_wherever_he_looks(
    app: FastAPI, desk: Desk
) -> None:
    terms = Terms(roles=frozenset({"user"}))
    theirs = await desk.one(terms)
    await desk.one()
    # Anybody may answer a graph of one's own; it asks in its own thread.
    await desk.one(terms, kind=Kind.INTERRUPT)
    async with as_(app, "uma") as client:
        listed = (await client.get("/approvals?status=pending")).json()
        claimable = (await client.get("/approvals?claimable=true")).json()
        asked = (await client.get("/approvals?mine=true")).json()
        one = await client.get(f"/approvals/{theirs.approval_id}")
    assert [item["id"] for item in listed["items"]] == [theirs.approval_id]
    assert (listed["total"], listed["counts"]["pending"]) == (1, 1)
    assert [item["id"] for item in claimable["items"]] == [theirs.approval_id]
    assert (asked["total"], one.status_code) == (0, 200)
    assert one.json()["open_choices"] == ["approve", "edit", "reject", "respond"]
    assert (await decide(app, theirs, key="uma")).status_code == 200
