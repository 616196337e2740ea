"""The composition root: everything opens, works together, and closes in reverse."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from graphs.keys import DEFAULT_TENANT
from models.embedder import HashedEmbedder
from models.progress import RecordedProgress
from models.registry import Role
from models.scripted import Scripted, ScriptedModel
from server import lock
from server.house import House, limits_of, open_house, rules_of
from server.policy_section import RuleSettings
from server.runs.asked import of_messages
from server.runs.transitions import RunStatus
from server.settings import Settings
from tests.server.cli.program import descendants, gone
from tools.retrieval.errors import StoreMismatch
from tools.run_python import RunPython
from tools.sandbox.find import Unavailable
from tools.tool import ToolContext


@asynccontextmanager
async def opened(
    folder: Path,
    *steps: Scripted,
    dimension: int = 64,
    progress: RecordedProgress | None = None,
    **configured: Any,
) -> AsyncIterator[House]:
    with ScriptedModel(steps=list(steps)) as model:
        async with open_house(
            Settings(data_dir=folder / "data", **configured),
            progress=progress or RecordedProgress(),
            models=dict.fromkeys(Role, model),
            embedder=HashedEmbedder(dimension=dimension),
        ) as house:
            yield house


async def test_a_question_goes_through_the_whole_house_and_nothing_is_left(folder: Path) -> None:
    steps = (
        Scripted(agent="coordinator", answer={"move": "research", "text": "", "tasks": []}),
        Scripted(agent="researcher", contains="45 days", answer="Within 45 days [1]."),
        Scripted(agent="critic", answer={"reason": "stated", "supported": True}),
    )
    before = set(descendants(os.getpid()))
    async with opened(folder, *steps) as house:
        await house.knowledge.ingest_text(
            "# Plans\n\nAn annual plan can be returned within 45 days.",
            name="plans.md",
            tenant=DEFAULT_TENANT,
            collection="default",
        )
        said = [{"role": "user", "content": "How long can I return an annual plan?"}]
        run = await house.runs.create(of_messages(said))
        async with asyncio.timeout(30):
            run = await house.runs.wait(run.run_id)
        assert run.status is RunStatus.SUCCESS
        assert run.result is not None
        assert run.result["answer"] == "Within 45 days [1]."
        assert [source["source"] for source in run.result["sources"]] == ["plans.md"]
        assert set(house.parts) >= {"Redis", "Documents", "Code"}
        children = set(descendants(os.getpid())) - before
        assert children
    await gone(list(children))


async def test_a_start_that_fails_half_way_closes_what_was_open(folder: Path) -> None:
    async with opened(folder, dimension=64):
        pass
    before = set(descendants(os.getpid()))
    with pytest.raises(StoreMismatch):
        async with opened(folder, dimension=32):
            pass
    assert set(descendants(os.getpid())) <= before
    with lock.owned(folder / "data"):
        pass


async def test_a_redis_that_is_killed_is_started_again(folder: Path) -> None:
    async with opened(folder) as house:
        await house.redis.set(house.keys.run("mark"), b"kept")
        pid = int((await house.redis.info("server"))["process_id"])
        os.kill(pid, signal.SIGKILL)
        await gone([pid])
        async with asyncio.timeout(30):
            while True:
                try:
                    assert await house.redis.get(house.keys.run("mark")) == b"kept"
                    break
                except OSError:
                    await asyncio.sleep(0)
                except Exception as error:
                    if "onnect" not in str(error) and "loading" not in str(error):
                        raise
                    await asyncio.sleep(0)


async def test_the_start_warns_of_tools_that_rules_of_ones_own_have_forgotten(folder: Path) -> None:
    said = RecordedProgress()
    rules = (
        RuleSettings(tool="run_python", effect="ask"),
        RuleSettings(tool="read_*", effect="deny"),
    )
    async with opened(folder, progress=said, policy=rules):
        pass
    (warning,) = [note for note in said.notes if "no rule of the policy" in note]
    assert warning.startswith("warning: search_documents is refused")
    assert warning.endswith("see docs/policy.md")


async def test_a_folder_has_one_owner(folder: Path) -> None:
    with (
        lock.owned(folder / "data"),
        pytest.raises(lock.DataFolderBusy, match=rf"process {os.getpid()}"),
    ):
        async with opened(folder):
            pass


def test_a_dead_server_is_not_announced(tmp_path: Path) -> None:
    live = lock.LiveServer(pid=2**22 - 1, url="http://127.0.0.1:1", started=0.0)
    with lock.announcement(tmp_path, live):
        assert lock.announced(tmp_path) is None
    (tmp_path / lock.LIVE).write_text("{half")
    assert lock.announced(tmp_path) is None


def test_limits_and_policy_are_those_of_the_settings() -> None:
    given = Settings(
        max_steps=3,
        max_tokens=4,
        max_cost=5.0,
        max_seconds=6.0,
        policy=({"tool": "run_*", "agent": "coder", "effect": "deny", "reason": "no"},),  # type: ignore[arg-type]
    )
    limits = limits_of(given)
    assert (limits.steps, limits.tokens, limits.cost, limits.seconds) == (3, 4, 5.0, 6.0)
    (rule,) = rules_of(given)
    assert (rule.tool, rule.agent, rule.decision.value, rule.reason) == (
        "run_*",
        "coder",
        "deny",
        "no",
    )


async def test_the_files_of_a_deleted_thread_go_with_it(folder: Path) -> None:
    async with opened(folder) as house:
        if isinstance(house.sandbox, Unavailable):
            pytest.skip(house.sandbox.reason)
        made = await house.threads.create()
        here = ToolContext(
            tenant=DEFAULT_TENANT,
            collection="c",
            run_id="r",
            call_id="1",
            thread_id=made.thread_id,
        )
        tool = house.tools["run_python"]
        write = RunPython(code="n = open('secret', 'w').write('1')")
        look = RunPython(code="import os; os.listdir()")
        await tool.call(write, here)
        before = await tool.call(look, here)
        await house.threads.delete(made.thread_id)
        after = await tool.call(look, here)
    assert (before.content, after.content) == ("['secret']", "[]")
