"""Assistants on LangGraph's wire, through the front door."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.assistants.records import built_in_id
from tests import examples
from tests.server.surface import Parts, in_process
from tests.server.threads.by_hand import put_status

NONE = "0f0d6b6e-3f43-4d0b-9a53-0a6f4c1f9a10"
AGENTS = {"coordinator", "researcher", "coder", "critic"}


async def made(client: httpx.AsyncClient, **body: Any) -> Any:
    reply = await client.post("/assistants", json={"graph_id": "talking", **body})
    assert reply.status_code == 200, reply.text
    return reply.json()


async def test_an_assistant_is_made_changed_and_deleted(app: FastAPI) -> None:
    async with in_process(app) as client:
        config = {"tags": ["a"], "mine": None, "configurable": {"agent": "coder", "x": None}}
        first = await made(client, config=config, context={"tone": "dry"}, unknown=1)
        assert set(first) == {
            "assistant_id",
            "graph_id",
            "config",
            "context",
            "metadata",
            "version",
            "name",
            "description",
            "created_at",
            "updated_at",
        }
        assert (first["version"], first["name"], first["config"]) == (1, "talking", config)
        at = f"/assistants/{first['assistant_id']}"
        assert (await client.get(at)).json() == first
        body = {"name": "Ann", "metadata": {"a": 1}, "context": {}}
        second = (await client.patch(at, json=body)).json()
        assert (second["version"], second["name"], second["context"]) == (2, "Ann", {})
        assert second["config"] == first["config"]
        versions = (await client.post(f"{at}/versions", json={})).json()
        assert [one["version"] for one in versions] == [2, 1]
        only = await client.post(f"{at}/versions", json={"metadata": {"a": 1}, "limit": 1})
        assert [one["version"] for one in only.json()] == [2]
        back = (await client.post(f"{at}/latest", json={"version": 1})).json()
        assert (back["name"], back["version"]) == ("talking", 1)
        assert (await client.get(at)).json() == back
        assert (await client.delete(at)).status_code == 204
        assert (await client.get(at)).status_code == 404


async def test_built_in_ones_answer_to_their_name_and_stay(app: FastAPI) -> None:
    async with in_process(app) as client:
        team = (await client.get("/assistants/team")).json()
        assert team["assistant_id"] == built_in_id("team")
        assert team["metadata"] == {"created_by": "system"}
        assert (await client.get(f"/assistants/{team['assistant_id']}")).json() == team
        coder = (await client.get("/assistants/coder")).json()
        assert (coder["graph_id"], coder["config"]["configurable"]) == ("team", {"agent": "coder"})
        gone = await client.delete(f"/assistants/{team['assistant_id']}?delete_threads=true")
        assert gone.status_code == 409
        assert "built in" in gone.json()["detail"]
        changed = await client.patch("/assistants/coder", json={"description": "writes code"})
        assert (changed.json()["version"], changed.json()["name"]) == (2, "coder")
        versions = (await client.post("/assistants/coder/versions", json={})).json()
        assert [one["description"] for one in versions] == ["writes code", None]


async def test_a_search_is_filtered_sorted_cut_and_paged(app: FastAPI, parts: Parts) -> None:
    async with in_process(app) as client:
        for name in ("Zoe", "ann", "Bob"):
            await made(client, name=name, metadata={"mine": True, "deep": {"n": len(name)}})

        async def ask(**body: Any) -> tuple[list[str], httpx.Headers]:
            reply = await client.post("/assistants/search", json=body)
            return [one["name"] for one in reply.json()], reply.headers

        everyone, headers = await ask(limit=100)
        assert set(everyone) == {*parts.registry.names, *AGENTS, "Zoe", "ann", "Bob"}
        assert headers["x-pagination-total"] == str(len(everyone))
        assert "x-pagination-next" not in headers
        assert (await ask(metadata={"mine": True}))[0] == ["Bob", "ann", "Zoe"]
        assert (await ask(metadata={"deep": {"n": 4}}))[0] == []
        assert (await ask(name="NN"))[0] == ["ann"]
        assert (await ask(graph_id="asking"))[0] == ["asking"]
        mine: dict[str, Any] = {"metadata": {"mine": True}, "sort_by": "name"}
        assert (await ask(**mine, sort_order="asc"))[0] == ["Bob", "Zoe", "ann"]
        page, headers = await ask(**mine, limit=1, offset=1)
        assert (page, headers["x-pagination-next"]) == (["Zoe"], "2")
        select = {"select": ["name", "version"], "name": "bob"}
        picked = (await client.post("/assistants/search", json=select)).json()
        assert picked == [{"name": "Bob", "version": 1}]
        counted = await client.post("/assistants/count", json={"graph_id": "talking"})
        assert counted.json() == 4
        assert (await client.post("/assistants/count")).json() == len(everyone)


async def test_threads_go_with_their_assistant_only_when_asked(app: FastAPI, parts: Parts) -> None:
    async with in_process(app) as client:
        first, second = await made(client), await made(client)
        threads = {
            one["assistant_id"]: await parts.threads.create(
                metadata={"assistant_id": one["assistant_id"]}
            )
            for one in (first, second)
        }
        assert (await client.delete(f"/assistants/{first['assistant_id']}")).status_code == 204
        kept = threads[first["assistant_id"]].thread_id
        assert (await client.get(f"/threads/{kept}")).status_code == 200
        mine = threads[second["assistant_id"]]
        await put_status(parts.records.redis, parts.records.keys, mine, "busy")
        at = f"/assistants/{second['assistant_id']}?delete_threads=True"
        busy = await client.delete(at)
        assert (busy.status_code, "busy" in busy.json()["detail"]) == (409, True)
        await put_status(parts.records.redis, parts.records.keys, mine, "idle")
        assert (await client.delete(at)).status_code == 204
        assert (await client.get(f"/threads/{mine.thread_id}")).status_code == 404


@pytest.mark.parametrize(
    ("xray", "nodes"),
    [
        ("false", ["__start__", "wrap", "inner", "__end__"]),
        ("0", ["__start__", "wrap", "inner", "__end__"]),
        ("True", ["__start__", "wrap", "__end__", "inner:ask"]),
        ("1", ["__start__", "wrap", "__end__", "inner:ask"]),
    ],
)
async def test_a_graph_is_drawn(app: FastAPI, xray: str, nodes: list[str]) -> None:
    async with in_process(app) as client:
        reply = await client.get("/assistants/nested/graph", params={"xray": xray})
    drawn = reply.json()
    assert [node["id"] for node in drawn["nodes"]] == nodes
    assert {"source": "__start__", "target": "wrap"} in drawn["edges"]


async def test_schemas_say_what_goes_in_and_out(app: FastAPI) -> None:
    async with in_process(app) as client:
        schemas = (await client.get("/assistants/talking/schemas")).json()
        assert schemas["graph_id"] == "talking"
        for name in ("input_schema", "output_schema", "state_schema"):
            assert {"messages", "count", "title"} == set(schemas[name]["properties"])
        assert schemas["context_schema"]["properties"]["tone"]["type"] == "string"
        assert schemas["config_schema"] == schemas["context_schema"]
        team = (await client.get("/assistants/team/schemas")).json()
        assert "messages" in team["input_schema"]["properties"]
        inner = (await client.get("/assistants/nested/subgraphs?recurse=true")).json()
        assert list(inner) == ["inner"]
        one = (await client.get("/assistants/nested/subgraphs/inner")).json()
        assert one == inner
        assert (await client.get("/assistants/nested/subgraphs/none")).json() == {}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
FIELDS = (
    "graph_id assistant_id config context metadata if_exists name description limit offset "
    "sort_by sort_order select version"
).split()


@settings(
    max_examples=examples.times(50),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    at=st.sampled_from(["", "/search", "/count", "/team", "/team/versions", "/team/latest"]),
    body=ANY | st.dictionaries(st.sampled_from(FIELDS), ANY | st.just("team"), max_size=4),
)
async def test_whatever_comes_in_the_answer_is_no_fault_of_ours(
    app: FastAPI, at: str, body: Any
) -> None:
    async with in_process(app) as client:
        reply = await client.request(
            "PATCH" if at == "/team" else "POST",
            f"/assistants{at}",
            content=json.dumps(body),
            headers={"content-type": "application/json"},
        )
    assert reply.status_code < 500, reply.text
    if reply.status_code >= 400:
        assert isinstance(reply.json()["detail"], str)


@pytest.mark.parametrize(
    ("method", "at", "body", "status", "named"),
    [
        ("GET", "/assistants/nobody", None, 422, "assistant_id"),
        ("GET", f"/assistants/{NONE}", None, 404, NONE),
        ("PATCH", f"/assistants/{NONE}", {}, 404, NONE),
        ("DELETE", f"/assistants/{NONE}", None, 404, NONE),
        ("GET", f"/assistants/{NONE}/graph", None, 404, NONE),
        ("GET", f"/assistants/{NONE}/schemas", None, 404, NONE),
        ("GET", f"/assistants/{NONE}/subgraphs", None, 404, NONE),
        ("POST", f"/assistants/{NONE}/versions", {}, 404, NONE),
        ("POST", f"/assistants/{NONE}/latest", {"version": 1}, 404, NONE),
        ("POST", "/assistants", {}, 422, "graph_id"),
        ("POST", "/assistants", {"graph_id": None}, 422, "graph_id"),
        ("POST", "/assistants", {"graph_id": "none"}, 404, "graph_id"),
        ("POST", "/assistants", {"graph_id": "team", "assistant_id": "x"}, 422, "assistant_id"),
        ("POST", "/assistants", {"graph_id": "team", "config": []}, 422, "config"),
        ("POST", "/assistants", {"graph_id": "team", "config": {"tags": "a"}}, 422, "config.tags"),
        ("PATCH", "/assistants/team", {"config": {"configurable": 5}}, 422, "config.configurable"),
        ("PATCH", "/assistants/team", {"config": {"recursion_limit": 0}}, 422, "recursion_limit"),
        ("POST", "/assistants", {"graph_id": "team", "if_exists": "x"}, 422, "if_exists"),
        ("PATCH", "/assistants/team", {"graph_id": "none"}, 404, "graph_id"),
        ("POST", "/assistants/search", {"limit": 0}, 422, "limit"),
        ("POST", "/assistants/search", {"sort_by": "mood"}, 422, "sort_by"),
        ("POST", "/assistants/search", {"select": ["mood"]}, 422, "select"),
        ("GET", "/assistants/team/graph?xray=perhaps", None, 422, "xray"),
        ("POST", "/assistants/team/latest", {"version": 9}, 404, "version"),
        ("POST", "/assistants/team/latest", {"version": "x"}, 422, "version"),
    ],
)
async def test_a_bad_request_is_told_in_words_that_name_the_field(
    app: FastAPI, method: str, at: str, body: Any, status: int, named: str
) -> None:
    async with in_process(app) as client:
        reply = await client.request(method, at, json=body)
    assert reply.status_code == status, reply.text
    assert named in reply.json()["detail"]
