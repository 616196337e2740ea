"""An unmodified LangGraph application in the whole house: it moves over by its URL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from models.embedder import HashedEmbedder
from models.progress import RecordedProgress
from models.registry import Role
from models.scripted import ScriptedModel
from server.house import House, open_house
from server.runs.asked import Asked
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from server.settings import ConfigurationError, Settings
from tests.server.graphs.test_registry import EXAMPLE


@pytest.fixture
async def house(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    # The application's own file sets it; unset again behind the test.
    monkeypatch.setenv("DESK_APPROVAL_FROM", "100")
    with ScriptedModel(steps=[]) as model:
        async with open_house(
            Settings(data_dir=folder / "data", langgraph_json=EXAMPLE / "langgraph.json"),
            progress=RecordedProgress(),
            models=dict.fromkeys(Role, model),
            embedder=HashedEmbedder(dimension=8),
        ) as house:
            yield house


async def run(house: House, thread_id: str | None = None, **asked: Any) -> RunRecord:
    record = await house.runs.create(Asked(**asked), thread_id=thread_id)
    async with asyncio.timeout(30):
        return await house.runs.wait(record.run_id)


def order(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


async def test_an_order_runs_through_the_house_and_is_remembered(house: House) -> None:
    assert list(house.registry.names) == ["team", "orders", "quotes"]
    record = await house.runs.create(
        Asked(graph="orders", input=order("20 pieces"), stream_modes=["updates", "custom"])
    )
    async with asyncio.timeout(30):
        told = [entry.event async for entry in house.runs.events(record.run_id)]
    chunks = [(one["mode"], one["data"]) for one in told if one["type"] == "graph.chunk"]
    assert ("custom", {"step": "read"}) in chunks
    assert [next(iter(data)) for mode, data in chunks if mode == "updates"] == ["read", "confirm"]
    assert told[-1]["type"] == "run.finished"
    assert told[-1]["answer"] == "Ordered 20 pieces."
    kept = await house.store.aget(("orders",), "last")
    assert kept is not None
    assert kept.value == {"amount": 20}


async def test_a_large_order_waits_for_a_person_and_another_run_answers(house: House) -> None:
    waiting = await run(house, graph="orders", input=order("500 pieces"))
    assert waiting.status is RunStatus.INTERRUPTED
    assert waiting.result is not None
    assert waiting.result["interrupts"][0]["value"] == {"question": "Order 500 pieces?"}
    done = await run(house, waiting.thread_id, graph="orders", input={}, command={"resume": True})
    assert done.status is RunStatus.SUCCESS
    assert done.result is not None
    assert done.result["answer"] == "Ordered 500 pieces."


async def test_a_decision_goes_on_with_the_run_that_asked(house: House) -> None:
    waiting = await run(house, graph="orders", input=order("500 pieces"))
    await house.runs.resume(waiting.run_id, tenant=waiting.tenant, value=False)
    async with asyncio.timeout(30):
        done = await house.runs.wait(waiting.run_id)
    assert done.status is RunStatus.SUCCESS
    assert done.result is not None
    assert done.result["answer"] == "Nothing was ordered."


async def test_a_graph_is_made_from_the_runs_configuration(house: House) -> None:
    done = await run(
        house,
        graph="quotes",
        input={"pieces": 4},
        config={"configurable": {"price_each": 3}},
        temporary=True,
    )
    assert done.result is not None
    assert done.result["values"] == {"pieces": 4, "price": 12.0}


async def test_a_graph_that_cannot_be_loaded_stops_the_start(folder: Path) -> None:
    settings = Settings.model_validate(
        {"data_dir": folder / "data", "graphs": {"mine": "none.py:graph"}}
    )
    with ScriptedModel(steps=[]) as model, pytest.raises(ConfigurationError, match="graph mine"):
        async with open_house(
            settings,
            progress=RecordedProgress(),
            models=dict.fromkeys(Role, model),
            embedder=HashedEmbedder(dimension=8),
        ):
            pass
