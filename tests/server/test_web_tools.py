"""The web's tools as the researcher has them: only where they are configured and a rule lets it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from models.embedder import HashedEmbedder
from models.progress import RecordedProgress
from models.registry import Role
from models.scripted import Scripted, ScriptedModel
from server import policy_section
from server import settings as reading
from server.house import House, open_house
from server.policy_section import RuleSettings
from server.runs.asked import of_messages
from server.runs.record import RunRecord
from server.settings import ConfigurationError, Settings
from server.web_tools import allowing
from tests.tools.web.site import Site, moved, page, serving
from tools.tool import ToolContext

HOLIDAY = "<title>Leave</title><h1>Leave</h1><p>Everyone has 30 days of holiday.</p>"
PLAN = Scripted(agent="coordinator", answer={"move": "research", "text": "", "tasks": []})
SEARCH: dict[str, Any] = {"tool": "search_documents", "effect": "allow"}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving({"/leave": page(HOLIDAY)}) as found:
        yield found


@asynccontextmanager
async def opened(
    folder: Path, *steps: Scripted, notes: RecordedProgress | None = None, **given: Any
) -> AsyncIterator[tuple[House, ScriptedModel]]:
    with ScriptedModel(steps=list(steps)) as model:
        async with open_house(
            Settings(data_dir=folder / "data", **given),
            progress=notes or RecordedProgress(),
            models=dict.fromkeys(Role, model),
            embedder=HashedEmbedder(dimension=64),
        ) as house:
            yield house, model


async def ask(house: House, question: str) -> RunRecord:
    run = await house.runs.create(of_messages([{"role": "user", "content": question}]))
    return await house.runs.wait(run.run_id)


def rule(**more: Any) -> dict[str, Any]:
    return {"tool": "fetch_page", "agent": "researcher", "effect": "allow", **more}


async def test_an_answer_cites_the_page_that_it_was_read_from(folder: Path, site: Site) -> None:
    url = f"http://127.0.0.1:{site.port}/leave"
    steps = (
        PLAN,
        Scripted(
            agent="researcher",
            tools=("fetch_page",),
            calls=(("fetch_page", {"url": url, "about": "holiday"}),),
        ),
        Scripted(agent="researcher", contains="30 days", answer="Everyone has 30 days [1]."),
        Scripted(agent="critic", answer={"reason": "stated", "supported": True}),
    )
    async with opened(
        folder,
        *steps,
        fetch_pages=True,
        web_allow=["127.0.0.1"],
        policy=(SEARCH, rule(when=["host in 127.0.0.1"])),
    ) as (house, _):
        run = await ask(house, f"How many days of holiday says {url}?")
        assert "fetch_page" in house.parts["Web"]
    assert run.result is not None
    assert "30 days" in run.result["answer"]
    [source] = run.result["sources"]
    assert (source["source"], source["title"]) == (url, "Leave")
    assert source["span"] is not None


async def test_the_rules_hold_for_where_a_redirect_leads(folder: Path, site: Site) -> None:
    site.replies["/a"] = moved(f"http://localhost:{site.port}/leave")
    url = f"http://127.0.0.1:{site.port}/a"
    steps = (
        PLAN,
        Scripted(agent="researcher", calls=(("fetch_page", {"url": url}),)),
        Scripted(agent="researcher", contains="The page has moved", answer="NOT FOUND"),
    )
    async with opened(
        folder,
        *steps,
        fetch_pages=True,
        web_allow=["127.0.0.1", "localhost"],
        policy=(SEARCH, rule(when=["host in 127.0.0.1"])),
    ) as (house, model):
        await ask(house, f"How many days of holiday says {url}?")
    assert [head.split(" ")[1] for head in site.got] == ["/a"]
    assert model.asked


async def test_without_a_rule_no_page_is_fetched_and_the_start_says_so(
    folder: Path, site: Site
) -> None:
    url = f"http://127.0.0.1:{site.port}/leave"
    notes = RecordedProgress()
    steps = (
        PLAN,
        Scripted(agent="researcher", calls=(("fetch_page", {"url": url}),)),
        Scripted(agent="researcher", contains="was refused", answer="NOT FOUND"),
    )
    async with opened(folder, *steps, notes=notes, fetch_pages=True, web_allow=["127.0.0.1"]) as (
        house,
        _,
    ):
        await ask(house, f"How many days of holiday says {url}?")
    assert site.called == 0
    assert any("fetch_page is refused" in note for note in notes.notes)


async def test_with_nothing_configured_nobody_has_the_web(folder: Path) -> None:
    async with opened(folder) as (house, _):
        assert set(house.tools) == {"search_documents", "read_document", "run_python"}
        assert house.agents["researcher"].tools == ("search_documents",)
        assert "Web" not in house.parts


async def test_a_provider_gives_the_researcher_a_search(folder: Path) -> None:
    async with opened(folder, searxng_url="http://127.0.0.1:9") as (house, _):
        assert house.agents["researcher"].tools == ("search_documents", "web_search")
        assert "web_search" not in house.agents["coder"].tools


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tavily_key": "a", "brave_key": "b"}, "brave_key: tavily_key is set too"),
        ({"searxng_url": "ftp://x"}, "searxng_url: must be an http or https URL"),
        ({"web_allow": ["a b"]}, "web_allow: 'a b' is no host"),
        ({"web_ports": []}, "web_ports: "),
        ({"web_ports": [0]}, "web_ports.0: "),
    ],
)
def test_what_cannot_be_used_stops_the_start(
    given: dict[str, Any],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("COUNTERPOINT_"):
            monkeypatch.delenv(name)
    with pytest.raises(ConfigurationError) as raised:
        reading.load(**given)
    assert told in str(raised.value)
    assert "'b'" not in str(raised.value)


def test_a_rule_that_asks_lets_no_redirect_through() -> None:
    rules = policy_section.read(
        [
            RuleSettings(tool="fetch_page", when=("host in a.example",), effect="allow"),
            RuleSettings(tool="fetch_page", effect="ask"),
        ],
        alone=True,
    )
    permits = allowing(rules)
    here = ToolContext(tenant="default", collection="c", run_id="r", call_id="c")
    assert permits({"url": "https://a.example/x"}, here)
    assert not permits({"url": "https://b.example/x"}, here)
