"""``python -m tests.upgrade --from REVISION``: what an older version left is gone on with.

The older one is started from its own tree over a new folder, given work of every kind, and killed
in the middle of it with its Redis; this one is started over the same folder, and everything has to
be there, and to go on. The model is the bench's scripted endpoint.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import json
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench.endpoint import DOCUMENT, QUESTION, Running
from bench.installation import scripted
from tests.faults.polling import eventually

ROOT = Path(__file__).parents[2]
READY_SECONDS = 120.0
SECONDS = 60.0
DELAY = 15
KEY = "one-request"
PEOPLE = ["people", "7"]


@dataclass(kw_only=True)
class Left:
    """What the older one had told its callers."""

    gate: Path
    threads: dict[str, str] = field(
        default_factory=lambda: {
            name: str(uuid.uuid4()) for name in ("team", "asks", "waits", "later")
        }
    )
    runs: dict[str, str] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def up(tree: Path, folder: Path, *, model_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """``counterpoint up`` out of a tree; at the end it is killed with all that it started."""
    environment = {
        **scripted(model_url),
        "PYTHONPATH": os.pathsep.join([str(tree), str(folder)]),
        "COUNTERPOINT_CONFIG": str(folder / "counterpoint.toml"),
        "COUNTERPOINT_DATA_DIR": str(folder / "data"),
    }
    log = folder / f"{tree.name}.log"
    with log.open("wb") as said:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "server.cli", "up", "--json", "--port", "0"),
            cwd=folder,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            line = await process.stdout.readline()
        if not line:
            raise RuntimeError(f"{tree} did not start:\n{log.read_text(errors='replace')[-3000:]}")
        async with httpx.AsyncClient(base_url=json.loads(line)["url"], timeout=SECONDS) as client:
            yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def asked(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> Any:
    """What is replied. Raises AssertionError for what is no success."""
    reply = await client.request(method, path, **more)
    assert reply.is_success, f"{method} {path}: {reply.status_code} {reply.text[:500]}"
    return reply.json() if reply.content else None


async def story(client: httpx.AsyncClient, run_id: str) -> str:
    """All that is kept of a run's events, as they are sent."""
    reply = await client.get(f"/runs/{run_id}/stream", headers={"Last-Event-ID": "-1"})
    return "\n".join(line for line in reply.text.splitlines() if line[:1] not in {"", ":"})


async def leave(client: httpx.AsyncClient, left: Left) -> None:
    """Work of every kind, finished, waiting, going on and still to begin."""
    document = {"title": "plans.md", "text": DOCUMENT}
    await asked(client, "POST", "/documents", json={"documents": [document]})
    say = {"messages": [{"role": "user", "content": QUESTION}]}
    for name, graph, given, more in (
        ("team", "team", say, {}),
        ("asks", "asks", {"steps": []}, {}),
        ("waits", "waits", {"steps": [], "gate": str(left.gate)}, {}),
        ("queued", "asks", {"steps": []}, {}),
        ("later", "asks", {"steps": []}, {"after_seconds": DELAY}),
    ):
        thread = left.threads.get(name, left.threads["waits"])
        run = await asked(
            client,
            "POST",
            f"/threads/{thread}/runs",
            json={"assistant_id": graph, "input": given, **more},
            headers={"Idempotency-Key": f"{KEY}-{name}"},
        )
        left.runs[name] = run["run_id"]
        if name in {"team", "asks"}:
            await asked(client, "GET", f"/threads/{thread}/runs/{run['run_id']}/join")
    reached = left.gate.with_suffix(".reached")
    await eventually(lambda: _is_there(reached), within=SECONDS, what="a run in its middle")
    item = {"namespace": PEOPLE, "key": "tea", "value": {"likes": "green"}}
    await asked(client, "PUT", "/store/items", json=item)
    assistant = {"graph_id": "asks", "name": "Asker", "metadata": {"kind": "test"}}
    made = await asked(client, "POST", "/assistants", json=assistant)
    left.runs["assistant"] = made["assistant_id"]
    cron = {"assistant_id": "asks", "schedule": "0 0 1 1 *", "input": {"steps": []}}
    await asked(client, "POST", "/runs/crons", json=cron)
    left.told = await look(client, left)


async def _is_there(path: Path) -> bool:
    return await asyncio.to_thread(path.exists)


async def look(client: httpx.AsyncClient, left: Left) -> dict[str, Any]:
    """What both versions have to tell alike."""
    found: dict[str, Any] = {}
    for name in ("team", "asks"):
        path = f"/threads/{left.threads[name]}"
        history = await asked(client, "GET", f"{path}/history", params={"limit": 50})
        found[f"{name}: values"] = [one["values"] for one in history]
        found[f"{name}: steps"] = [one["metadata"].get("step") for one in history]
        found[f"{name}: events"] = await story(client, left.runs[name])
        run = await asked(client, "GET", f"{path}/runs/{left.runs[name]}")
        found[f"{name}: run"] = {key: run[key] for key in ("status", "created_at", "metadata")}
    search = {"query": "annual plan", "limit": 3}
    hits = (await asked(client, "POST", "/documents/search", json=search))["hits"]
    found["search"] = [one["text"] for one in hits]
    waiting = (await asked(client, "GET", "/approvals"))["items"]
    found["approvals"] = [(one["id"], one["run_id"], one["status"]) for one in waiting]
    params = {"namespace": ".".join(PEOPLE), "key": "tea"}
    found["store"] = (await asked(client, "GET", "/store/items", params=params))["value"]
    found["assistant"] = await asked(client, "GET", f"/assistants/{left.runs['assistant']}")
    crons = await asked(client, "POST", "/runs/crons/search", json={})
    found["crons"] = [(one["cron_id"], one["schedule"]) for one in crons]
    return found


def holds(now: Any, before: Any) -> bool:
    """Whether all that there was is there unchanged; an object may have gained fields."""
    match before, now:
        case dict(), dict():
            return all(name in now and holds(now[name], value) for name, value in before.items())
        case list(), list():
            return len(now) == len(before) and all(map(holds, now, before))
    return bool(now == before)


def difference(before: Any, now: Any) -> str:
    """What changed, line by line."""
    was, now_is = (json.dumps(one, indent=1, sort_keys=True).splitlines() for one in (before, now))
    return "\n".join(difflib.unified_diff(was, now_is, lineterm="", n=1))


async def take_over(client: httpx.AsyncClient, left: Left) -> None:
    """Everything is there, and goes on. Raises AssertionError."""
    now = await look(client, left)
    for name, before in left.told.items():
        assert holds(now[name], before), f"{name} is another:\n{difference(before, now[name])}"
    assert left.told["approvals"], "nothing waited for a person"
    thread = left.threads["asks"]
    repeated = await asked(
        client,
        "POST",
        f"/threads/{thread}/runs",
        json={"assistant_id": "asks", "input": {"steps": []}},
        headers={"Idempotency-Key": f"{KEY}-asks"},
    )
    assert repeated["run_id"] == left.runs["asks"]
    answer = {"assistant_id": "asks", "command": {"resume": "yes"}}
    state = await asked(client, "POST", f"/threads/{thread}/runs/wait", json=answer)
    assert state == {"steps": ["looked", "told yes"]}, state
    await asyncio.to_thread(left.gate.touch)
    for name, ends in (("waits", "success"), ("queued", "interrupted"), ("later", "interrupted")):
        await eventually(
            lambda name=name, ends=ends: _has_come_to(client, left, name, ends),  # type: ignore[misc]
            within=SECONDS,
            what=f"the run {name!r} to be {ends}",
        )
    path = f"/threads/{left.threads['waits']}/runs/{left.runs['waits']}/join"
    assert (await asked(client, "GET", path))["steps"][:2] == ["looked", "waited"]
    more = {"messages": [{"role": "user", "content": "Who approves a refund?"}]}
    told = await asked(
        client,
        "POST",
        f"/threads/{left.threads['team']}/runs/wait",
        json={"assistant_id": "team", "input": more},
    )
    assert [one["type"] for one in told["messages"]] == ["human", "ai", "human", "ai"]
    audit = await asked(client, "GET", "/audit", params={"limit": 100})
    assert audit["items"], "the audit log is empty"


async def _has_come_to(client: httpx.AsyncClient, left: Left, name: str, status: str) -> bool:
    thread = left.threads.get(name, left.threads["waits"])
    run: Mapping[str, Any] = await asked(client, "GET", f"/threads/{thread}/runs/{left.runs[name]}")
    assert run["status"] not in {"error", "timeout"}, run
    return bool(run["status"] == status)


async def main(revision: str) -> None:
    """One upgrade. Raises what went wrong."""
    with tempfile.TemporaryDirectory(prefix="upgrade-") as path:
        folder, old = Path(path), Path(path) / "older"
        git = ["git", "-C", str(ROOT), "worktree"]
        await asyncio.to_thread(
            subprocess.run, [*git, "add", "--detach", "--quiet", str(old), revision], check=True
        )
        try:
            (folder / "counterpoint.toml").write_text(
                '[graphs]\nasks = "left_graph:asks"\nwaits = "left_graph:waits"\n'
            )
            (folder / "left_graph.py").write_bytes((ROOT / "tests/upgrade/graph.py").read_bytes())
            left = Left(gate=folder / "gate")
            async with Running() as endpoint:
                async with up(old, folder, model_url=endpoint.url) as client:
                    await leave(client, left)
                print(f"{revision}: killed with {len(left.runs)} things left", flush=True)
                async with up(ROOT, folder, model_url=endpoint.url) as client:
                    await take_over(client, left)
        finally:
            await asyncio.to_thread(
                subprocess.run, [*git, "remove", "--force", str(old)], check=True
            )
    print("all of it is there, and has gone on")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--from", dest="revision", required=True, help="the older version, by git")
    asyncio.run(main(parser.parse_args().revision))
