"""`counterpoint approvals` and `counterpoint audit`, as an operator runs them beside a server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.app import build
from server.approvals.record import ApprovalStatus
from tests.server.approvals.desk import ARGS, Desk, desk_of
from tests.server.cli.program import Ended, Program
from tests.server.surface import Parts, served

PLAN = {"question": "Refund order A-7", "plan": ["look it up", "refund"], "usage": {"cost": 0.02}}


@pytest.fixture
def desk(parts: Parts, redis: Redis, keys: Keys) -> Desk:
    return desk_of(redis, keys, parts.queue)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(data_dir=tmp_path / "data", home=tmp_path)


def said(ended: Ended) -> str:
    assert ended.code == 0, ended.err
    return ended.out


async def test_an_operator_sees_edits_rejects_and_is_told_who_was_first(
    parts: Parts, desk: Desk, program: Program
) -> None:
    one, other = await desk.one(context=PLAN), await desk.one(tool="wire_money", schema=None)
    async with served(build(parts)) as url:
        here = ("--url", url)
        listed, shown = await asyncio.gather(
            program.run("approvals", "list", *here),
            program.run("approvals", "show", one.approval_id, *here),
        )
        edited = await program.run(
            "approvals", "edit", one.approval_id, "--set", "amount=90", *here
        )
        rejected, late = await asyncio.gather(
            program.run("approvals", "reject", other.approval_id, "--json", *here),
            program.run("approvals", "approve", one.approval_id, *here),
        )
    after = await desk.approvals.get(one.approval_id, tenant="default")
    assert "wire_money" in said(listed)
    assert "amount=120" in listed.out
    assert "2 shown; " in listed.err
    text = said(shown)
    for words in ("Refund order A-7", "look it up", "ask for refund when amount > 100", "ruth"):
        assert words in text
    assert "amount=90" in said(edited)
    assert json.loads(said(rejected))["status"] == "rejected"
    assert (late.code, "was edited already by 'local'" in late.err) == (2, True)
    assert (after.final_args["amount"], after.args) == (90, ARGS)
    assert after.decisions[0].via == "cli"


async def test_nothing_that_is_shown_moves_the_cursor_or_hides_what_is_approved(
    parts: Parts, desk: Desk, program: Program
) -> None:
    """A question, a document's passage and a model's arguments come from anybody."""
    odd = "\x1b[1A\x1b[2K\r\u202efine\u2066\x07"
    one = await desk.one(
        args={"order": odd, "amount\nrule": 1},
        schema=None,
        context={"question": f"Refund {odd}", "evidence": [{"title": odd, "text": odd}]},
        reason=odd,
        agent=odd,
    )
    async with served(build(parts)) as url:
        here = ("--url", url)
        shown = await asyncio.gather(
            program.run("approvals", "list", *here),
            program.run("approvals", "show", one.approval_id, *here),
            program.run("approvals", "watch", "--once", *here),
            program.run("audit", "list", *here),
        )
        approved = await program.run("approvals", "approve", one.approval_id, *here)
    for ended in (*shown, approved):
        text = said(ended)
        assert "U+202E" in text
        assert not any(character in text for character in "\x1b\r\x07\u202e\u2066")
        assert "amount\nrule" not in text


async def test_the_queue_is_watched_line_by_line(
    parts: Parts, desk: Desk, program: Program
) -> None:
    one = await desk.one()
    async with (
        served(build(parts)) as url,
        program.running("approvals", "watch", "--json", "--url", url) as watching,
    ):
        snapshot = json.loads(await watching.line())
        assert [item["id"] for item in snapshot["items"]] == [one.approval_id]
        await desk.decide(one)
        change = json.loads(await watching.line())
    assert (change["event"], change["approval"]["status"]) == (
        "approval",
        ApprovalStatus.APPROVED,
    )


async def test_the_audit_log_is_exported_and_checked_against_the_export(
    parts: Parts, desk: Desk, program: Program, tmp_path: Path, redis: Redis, keys: Keys
) -> None:
    one = await desk.one()
    file = tmp_path / "audit.jsonl"
    async with served(build(parts)) as url:
        here = ("--url", url)
        exported = await program.run("audit", "export", "--output", str(file), *here)
        await desk.decide(one)
        whole, listed = await asyncio.gather(
            program.run("audit", "verify", "--against", str(file), *here),
            program.run("audit", "list", *here),
        )
        await redis.delete(keys.audit("default"), keys.audit_head("default"))
        await desk.one()
        forged = await program.run("audit", "verify", "--against", str(file), "--json", *here)
    assert exported.code == 0, exported.err
    assert [json.loads(line)["kind"] for line in file.read_text("utf-8").splitlines()] == [
        "requested"
    ]
    assert "2 entries, whole; the last is 2:" in said(whole)
    assert "decided approve" in said(listed)
    assert forged.code == 1
    assert json.loads(forged.out)["problems"][0]["what"] == (
        "entry 1 is not the one that was noted earlier"
    )
