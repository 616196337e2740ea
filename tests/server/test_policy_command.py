"""`counterpoint policy`: the verdict for a call in words, and what changed rules would change."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from graphs import events
from server import cli, policy_section, replay, settings
from server.exits import Exit
from server.runs.asked import of_messages
from server.runs.record import RunRecord
from tests.server.surface import Parts, configured, hashed, in_process, served

DOC = Path(__file__).parents[2] / "docs" / "policy.md"
TOMLS = re.findall(r"```toml\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
KEYS = [
    {"name": "ann", "sha256": hashed("user"), "tenant": "acme"},
    {"name": "ops", "sha256": hashed("ops"), "tenant": "acme", "roles": ["operator"]},
    {"name": "root", "sha256": hashed("root"), "roles": ["admin"]},
]
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("COUNTERPOINT_") or name in {"OPENAI_API_KEY", "OPENAI_BASE_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("text", TOMLS)
def test_the_examples_of_the_page_are_rules(text: str, tmp_path: Path) -> None:
    (tmp_path / "counterpoint.toml").write_text(text, "utf-8")
    assert len(settings.load().policy) == len(tomllib.loads(text)["policy"])


def test_the_page_shows_what_the_command_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "counterpoint.toml").write_text(TOMLS[0], "utf-8")
    page = DOC.read_text(encoding="utf-8")
    (shown,) = re.findall(r"```console\n\$ counterpoint .*?\n(.*?)```", page, re.DOTALL)
    assert cli.run(["policy", "check", "refund", '{"amount": 250, "currency": "EUR"}']) == Exit.OK
    assert capsys.readouterr().out == shown


@pytest.mark.parametrize(
    ("call", "decision", "rule"),
    [
        (["refund", '{"amount": 50, "currency": "EUR"}'], "allow", 1),
        (["refund", '{"amount": "50", "currency": "EUR"}'], "ask", 2),
        (["refund"], "ask", 2),
        (["fetch", '{"url": "https://a.wiki.example.com/x"}', "--agent", "researcher"], "allow", 3),
        (["fetch", '{"url": "https://a.wiki.example.com/x"}', "--agent", "coder"], "deny", None),
        (["fetch", '{"url": "https://evil.example"}', "--agent", "researcher"], "deny", None),
        (["read_file", '{"path": "/srv/data/a/../b"}'], "allow", 5),
        (["read_file", '{"path": "/srv/data/../secrets/x"}'], "deny", 4),
        (["read_file", '{"path": "data/x"}'], "deny", 4),
    ],
)
def test_the_first_example_decides_as_the_page_says(
    call: list[str],
    decision: str,
    rule: int | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "counterpoint.toml").write_text(TOMLS[0], "utf-8")
    assert cli.run(["policy", "check", *call, "--json"]) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["decision"], found["rule"]) == (decision, rule)
    assert ("terms" in found) == (decision == "ask")


def test_what_is_wrongly_given_is_a_line_and_the_exit_code_of_usage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.toml").write_text("[[policy]]\ntool = 1", "utf-8")
    (tmp_path / "none.toml").write_text("port = 1", "utf-8")
    for arguments, said in (
        (["check", "x", "[1]"], "ARGS_JSON: write an object"),
        (["check", "x", "{"], "ARGS_JSON: "),
        (["check", "x", "--policy", "bad.toml"], "policy.0.tool: "),
        (["check", "x", "--policy", "none.toml"], "no [[policy]] in it"),
        (["replay", "--since", "soon"], "--since: 'soon' is no span of time"),
    ):
        assert cli.run(["policy", *arguments]) == Exit.USAGE
        assert said in capsys.readouterr().err


async def recorded(
    parts: Parts, *calls: tuple[str, dict[str, Any]], tenant: str = "default"
) -> RunRecord:
    """A run whose agent made these calls."""
    messages = [{"role": "user", "content": "x"}]
    run = await parts.runs.create(of_messages(messages), tenant=tenant)
    told = [
        events.ToolStarted(agent="coder", task_id="1", call_id=f"c{at}", tool=tool, args=args)
        for at, (tool, args) in enumerate(calls)
    ]
    written = [event.model_dump(mode="json") for event in told]
    await parts.log.append(run.thread_id, run.run_id, written, tenant=tenant)
    return run


async def test_recorded_calls_are_for_operators_and_those_of_other_tenants_for_admins(
    parts: Parts,
) -> None:
    ours = await recorded(parts, ("refund", {"amount": 5}), tenant="acme")
    theirs = await recorded(parts, ("refund", {"amount": 7}), tenant="other")
    app = configured(parts, keys=KEYS)
    seen = {}
    for key in ("user", "ops", "root"):
        async with in_process(app, **{"x-api-key": key}) as client:
            wanted = {"since": LONG_AGO.isoformat()}
            reply = await client.get("/admin/calls", params=wanted)
            named = await client.get("/admin/calls", params={**wanted, "tenant": "other"})
            assert ('"amount"' in reply.text) == (key != "user")
            runs = {item["run_id"] for item in reply.json().get("items", [])}
            seen[key] = (reply.status_code, named.status_code, runs)
    assert seen == {
        "user": (403, 403, set()),
        "ops": (200, 403, {ours.run_id}),
        "root": (200, 200, {ours.run_id, theirs.run_id}),
    }


async def test_only_calls_since_then_are_given_and_more_than_the_limit_is_said(
    parts: Parts,
) -> None:
    run = await recorded(parts, ("a", {}), ("b", {"x": [1]}))
    app = configured(parts)
    async with in_process(app) as client:
        wanted = {"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}
        found = (await client.get("/admin/calls", params=wanted)).json()
        assert [(item["tool"], item["args"]) for item in found["items"]] == [
            ("a", {}),
            ("b", {"x": [1]}),
        ]
        assert found["items"][0]["run_id"] == run.run_id
        assert found["items"][0]["verdict"]["decision"] == "deny"
        assert not found["truncated"]
        cut = (await client.get("/admin/calls", params={**wanted, "limit": 1})).json()
        assert (len(cut["items"]), cut["truncated"]) == (1, True)
        later = {"since": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
        assert (await client.get("/admin/calls", params=later)).json()["items"] == []


@pytest.mark.parametrize(
    ("since", "found"),
    [
        ("0889-10-11T14:58:38+11:22", 1),
        ("0001-01-01T00:00:00+14:00", 1),
        ("9999-12-31T23:59:59-14:00", 0),
    ],
)
async def test_any_instant_is_a_beginning(parts: Parts, since: str, found: int) -> None:
    await recorded(parts, ("a", {}))
    async with in_process(configured(parts)) as client:
        told = await client.get("/admin/calls", params={"since": since})
    assert (told.status_code, len(told.json()["items"])) == (200, found)


async def test_what_changed_rules_would_change_is_told_in_groups(
    parts: Parts, tmp_path: Path
) -> None:
    await recorded(
        parts,
        *(("refund", {"amount": amount, "currency": "EUR"}) for amount in (10, 20, 500)),
        ("search_documents", {"query": "x"}),
    )
    async with in_process(configured(parts)) as client:
        wanted = {"since": LONG_AGO.isoformat()}
        items = (await client.get("/admin/calls", params=wanted)).json()["items"]
    (tmp_path / "new.toml").write_text(TOMLS[0], "utf-8")
    loaded = settings.load(policy=policy_section.tables_of(tmp_path / "new.toml"))
    changed = replay.changes(items, policy_section.read(loaded.policy, alone=True))
    assert [(one["calls"], one["tool"], one["before"], one["after"]) for one in changed] == [
        (2, "refund", "deny", "allow"),
        (1, "refund", "deny", "ask"),
    ]
    assert changed[0]["example"]["args"] == {"amount": 10, "currency": "EUR"}


@pytest.mark.parametrize("as_json", [True, False])
async def test_the_command_replays_the_calls_of_a_running_server(
    as_json: bool, parts: Parts, tmp_path: Path
) -> None:
    await recorded(parts, ("refund", {"amount": 5, "currency": "EUR"}), ("other", {}))
    async with served(configured(parts)) as url:
        # The rules were changed after the server had started.
        (tmp_path / "counterpoint.toml").write_text(TOMLS[0], "utf-8")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "server.cli",
            *("policy", "replay", "--since", "1h", "--url", url, *["--json"][: int(as_json)]),
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(DOC.parents[1])},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = (text.decode() for text in await process.communicate())
    assert process.returncode == Exit.OK, err
    if as_json:
        found = json.loads(out)
        assert (found["calls"], found["changed"], found["truncated"]) == (2, 1, False)
        assert found["changes"][0]["rule"].startswith("rule 2: allow refund when amount <= 100")
    else:
        assert "rule 2: allow refund" in out
        assert "1 of 2 calls would be decided otherwise" in err
