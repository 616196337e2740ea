"""Graphs of a user's own are found in every form in which they come, or the start says why not."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from redis.asyncio import Redis

from graphs.keys import Keys
from graphs.scoped_saver import ScopedSaver
from server import langgraph_json, registry
from server.graph_source import GraphSource
from server.registry import GraphRegistry, NotAGraphError, UnknownGraphError
from server.settings import ConfigurationError, Settings, load

EXAMPLE = Path(__file__).parents[3] / "examples" / "langgraph_app"
HEAD = """
import contextlib
from typing import TypedDict
from langchain_core.runnables import RunnableConfig
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph_sdk.runtime import ServerRuntime

class State(TypedDict, total=False):
    word: str
    thread: str

def built(word="plain"):
    def node(state: State, config: RunnableConfig) -> State:
        return {"word": word, "thread": config["configurable"]["thread_id"]}
    return StateGraph(State).add_node("node", node).add_edge(START, "node")

calls = []
"""
FORMS = {
    "compiled": "graph = built().compile()",
    "uncompiled": "graph = built()",
    "function": "def graph(): return built()",
    "coroutine": "async def graph(): return built().compile()",
    "context": "@contextlib.contextmanager\ndef graph(): yield built()",
    "acontext": "@contextlib.asynccontextmanager\nasync def graph(): yield built()",
    "config": "def graph(config): return built(config['configurable']['say'])",
    "typed": "async def graph(c: RunnableConfig): return built(c['configurable']['say'])",
    "default": "def graph(config=None): return built(config['configurable']['say'])",
    "both": "def graph(config, runtime): return built(runtime.access_context)",
    "runtime": "async def graph(r: ServerRuntime): return built(r.access_context)",
    "config_context": (
        "@contextlib.asynccontextmanager\n"
        "async def graph(config: RunnableConfig): yield built(config['configurable']['say'])"
    ),
    "functional": (
        "@entrypoint()\n"
        "async def graph(state, *, config: RunnableConfig):\n"
        "    return {'word': 'plain', 'thread': config['configurable']['thread_id']}"
    ),
}


def written(folder: Path, text: str, name: str = "app.py") -> GraphSource:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return GraphSource(name="mine", target=f"{name}:graph", folder=folder)


async def ran(made: GraphRegistry, name: str = "mine", **configurable: Any) -> dict[str, Any]:
    config: Any = {"configurable": {"thread_id": "t", **configurable}}
    async with made.open(name, config, tenant="one") as graph:
        return dict(await graph.ainvoke({}, config))


@pytest.mark.parametrize("form", FORMS)
async def test_a_graph_runs_in_whatever_form_it_comes(form: str, tmp_path: Path) -> None:
    saver = InMemorySaver()
    async with GraphRegistry(saver=saver, sources=[written(tmp_path, HEAD + FORMS[form])]) as made:
        assert list(made.names) == ["team", "mine"]
        told = await ran(made, say="said")
        expected = {
            "both": "threads.create_run",
            "runtime": "threads.create_run",
            "config": "said",
            "typed": "said",
            "default": "said",
            "config_context": "said",
        }
        assert told == {"word": expected.get(form, "plain"), "thread": "t"}
    assert set(saver.storage) == {"one:t"}, "kept under the tenant's name"


async def test_a_factory_without_arguments_is_asked_once_and_one_with_a_config_each_time(
    tmp_path: Path,
) -> None:
    once = HEAD + "def graph():\n    calls.append(1)\n    return built(str(len(calls)))"
    each = HEAD + "def graph(config):\n    calls.append(1)\n    return built(str(len(calls)))"
    for text, words in ((once, ["1", "1"]), (each, ["1", "2"])):
        source = written(tmp_path, text)
        async with GraphRegistry(saver=InMemorySaver(), sources=[source]) as made:
            assert [(await ran(made))["word"] for _ in range(2)] == words


async def test_what_a_context_opened_is_closed_with_its_use_or_with_the_registry(
    tmp_path: Path,
) -> None:
    body = (
        "    try:\n        yield built()\n"
        "    finally:\n        with open(PATH, 'a') as file:\n            file.write('x')\n"
    ).replace("PATH", repr(str(tmp_path / "closed")))
    closed = tmp_path / "closed"
    per_use = HEAD + "@contextlib.asynccontextmanager\nasync def graph(config):\n" + body
    async with GraphRegistry(saver=InMemorySaver(), sources=[written(tmp_path, per_use)]) as made:
        await ran(made)
        await ran(made)
        assert closed.read_text() == "xx"
    closed.unlink()
    kept = HEAD + "@contextlib.contextmanager\ndef graph():\n" + body
    async with GraphRegistry(saver=InMemorySaver(), sources=[written(tmp_path, kept)]) as made:
        await ran(made)
        assert not closed.exists()
    assert closed.read_text() == "x"


async def test_a_graph_in_a_package_may_import_its_neighbours(tmp_path: Path) -> None:
    written(tmp_path, "", "shop/__init__.py")
    written(tmp_path, HEAD, "shop/parts.py")
    source = written(tmp_path, "from .parts import built\ngraph = built()", "shop/app.py")
    by_module = GraphSource(name="other", target="shop.app:graph", folder=tmp_path)
    async with GraphRegistry(saver=InMemorySaver(), sources=[source, by_module]) as made:
        assert (await ran(made))["word"] == (await ran(made, "other"))["word"] == "plain"


async def test_modules_named_like_our_rooms_are_the_users_own_in_their_app(tmp_path: Path) -> None:
    import agents
    import tools

    written(tmp_path, "WORD = 'theirs'", "tools.py")
    written(tmp_path, "WORD = 'too'", "agents/words.py")
    text = "import tools\nfrom agents.words import WORD\ngraph = built(tools.WORD + WORD)"
    async with GraphRegistry(
        saver=InMemorySaver(), sources=[written(tmp_path, HEAD + text)]
    ) as made:
        assert (await ran(made))["word"] == "theirstoo"
    import agents as still_agents
    import tools as still_tools

    assert (still_agents, still_tools) == (agents, tools)
    assert not hasattr(still_tools, "WORD")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import no_such_package", "install it"),
        ("graph = (", "line 1"),
        ("raise SystemExit(1)", "SystemExit"),
        ("other = 1", "the module has no graph"),
        ("graph = 1", "gave a int, which is no LangGraph graph"),
        ("def graph(): raise KeyError('token')", "KeyError: 'token'"),
    ],
)
async def test_a_graph_that_cannot_be_had_stops_the_start_with_name_file_and_cause(
    tmp_path: Path, text: str, told: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"graph mine \(app\.py:graph\)") as raised:
        async with GraphRegistry(saver=InMemorySaver(), sources=[written(tmp_path, text)]):
            pass
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("target", "told"),
    [("app.py", "write it as"), ("none.py:graph", "there is no file"), (":x", "write it as")],
)
async def test_a_place_that_is_none_stops_the_start(tmp_path: Path, target: str, told: str) -> None:
    source = GraphSource(name="mine", target=target, folder=tmp_path)
    with pytest.raises(ConfigurationError, match=told):
        async with GraphRegistry(saver=InMemorySaver(), sources=[source]):
            pass


async def test_no_graph_may_take_the_teams_name(tmp_path: Path) -> None:
    source = GraphSource(name="team", target="a.py:graph", folder=tmp_path)
    with pytest.raises(ConfigurationError, match="is taken"):
        async with GraphRegistry(saver=InMemorySaver(), sources=[source]):
            pass


async def test_a_factory_that_gives_no_graph_for_a_run_says_what_it_gave(tmp_path: Path) -> None:
    source = written(tmp_path, "def graph(config): return 1")
    async with GraphRegistry(saver=InMemorySaver(), sources=[source]) as made:
        with pytest.raises(NotAGraphError, match="int"):
            await ran(made)
        with pytest.raises(UnknownGraphError, match="team, mine"):
            await ran(made, "other")


async def test_without_a_tenant_threads_have_the_names_that_the_saver_knows(
    tmp_path: Path,
) -> None:
    saver = InMemorySaver()
    source = written(tmp_path, HEAD + FORMS["compiled"])
    async with GraphRegistry(saver=saver, sources=[source]) as made:
        await ran(made)
        async with made.open("mine", access="threads.read") as graph:
            state = await graph.aget_state({"configurable": {"thread_id": "one:t"}})
        assert state.values["word"] == "plain"
        async with made.open("mine", tenant="two", access="threads.read") as graph:
            other = await graph.aget_state({"configurable": {"thread_id": "t"}})
        assert other.values == {}


async def test_the_saver_of_a_run_names_no_tenant_and_lists_no_other_threads(
    tmp_path: Path,
) -> None:
    inner = InMemorySaver()
    source = written(tmp_path, HEAD + FORMS["compiled"])
    async with GraphRegistry(saver=inner, sources=[source]) as made:
        await ran(made)
    scoped = ScopedSaver(inner, tenant="one")
    listed = [found async for found in scoped.alist({"configurable": {"thread_id": "t"}})]
    assert {found.config["configurable"]["thread_id"] for found in listed} == {"t"}
    with pytest.raises(ValueError, match="name a thread"):
        _ = [found async for found in scoped.alist(None)]


def stored(folder: Path, **content: Any) -> Path:
    path = folder / "langgraph.json"
    path.write_text(json.dumps({"graphs": {"a": "a.py:graph"}, **content}))
    return path


def test_an_unmodified_langgraph_json_is_read() -> None:
    found = langgraph_json.read(EXAMPLE / "langgraph.json")
    assert [(one.name, one.target) for one in found.graphs] == [
        ("orders", "./desk/orders.py:graph"),
        ("quotes", "./desk/quotes.py:make_graph"),
    ]
    assert found.graphs[1].description == "Says what something costs"
    assert found.folders == [EXAMPLE]
    assert found.environment == {"DESK_APPROVAL_FROM": "100"}
    assert found.store_ttl == {"refresh_on_read": True, "default_ttl": 43200.0}
    assert found.notes == []


def test_what_is_not_used_is_said(tmp_path: Path) -> None:
    found = langgraph_json.read(stored(tmp_path, auth={"path": "x"}, python_version="3.11"))
    assert len(found.notes) == 1
    assert "auth is not used" in found.notes[0]


def test_classes_that_checkpoints_may_hold_are_taken_over(tmp_path: Path) -> None:
    serde = {"serde": {"allowed_msgpack_modules": [["shop", "Basket"]]}}
    assert langgraph_json.read(stored(tmp_path, checkpointer=serde)).allowed == {("shop", "Basket")}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"graphs": {}}, None),
        ({"graphs": []}, "graphs: name at least one"),
        ({"graphs": {"a": 1}}, "graphs.a"),
        ({"graphs": {"a": "a.ts:graph"}}, "only graphs in Python"),
        ({"dependencies": "."}, "dependencies: give a list"),
        ({"dependencies": ["./none"]}, "there is no folder ./none"),
        ({"dependencies": ["no-such-package>=2", "pytest"]}, "pip install 'no-such-package>=2'"),
        ({"env": "none.env"}, "env: there is no file none.env"),
        ({"env": 1}, "env: give"),
        ({"store": {"index": {"dims": 3}}}, "store.index.embed"),
        ({"checkpointer": {"serde": {"allowed_msgpack_modules": "all"}}}, "allowed_msgpack"),
    ],
)
def test_a_field_that_says_nothing_to_us_is_named(
    tmp_path: Path, content: Mapping[str, Any], told: str | None
) -> None:
    path = stored(tmp_path, **content)
    if told is None:
        assert langgraph_json.read(path).graphs == []
        return
    with pytest.raises(ConfigurationError) as raised:
        langgraph_json.read(path)
    assert told in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_file_that_is_missing_or_no_json_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.json"):
        langgraph_json.read(tmp_path / "none.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigurationError, match="is not JSON"):
        langgraph_json.read(tmp_path / "bad.json")


async def test_the_settings_name_graphs_of_both_kinds(
    redis: Redis, keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERPOINT_CONFIG", str(tmp_path / "counterpoint.toml"))
    monkeypatch.setenv("DESK_APPROVAL_FROM", "7")
    written(tmp_path, HEAD + FORMS["compiled"])
    (tmp_path / "counterpoint.toml").write_text(
        '[graphs]\nmine = "app.py:graph"\n'
        'told = { path = "app.py:graph", description = "It says a word" }\n'
    )
    settings = load(langgraph_json=EXAMPLE / "langgraph.json")
    made, store, notes = registry.configured(
        settings, redis=redis, keys=keys, saver=InMemorySaver()
    )
    async with made:
        assert list(made.names) == ["team", "mine", "told", "orders", "quotes"]
        assert made.description("told") == "It says a word"
        assert (await ran(made))["word"] == "plain"
    assert os.environ["DESK_APPROVAL_FROM"] == "7", "what is set already stays"
    assert store.ttl_config is not None
    assert list(notes) == []


def test_a_langgraph_json_may_not_set_our_own_settings(tmp_path: Path) -> None:
    from server.settings import lend_environment

    with pytest.raises(ConfigurationError, match="COUNTERPOINT_PORT"):
        lend_environment({"COUNTERPOINT_PORT": "1"})


async def test_the_store_finds_by_likeness_where_langgraph_json_names_an_embedding(
    redis: Redis, keys: Keys, tmp_path: Path
) -> None:
    written(tmp_path, HEAD + FORMS["compiled"], "a.py")
    written(tmp_path, "def embed(texts): return [[t.count('a'), 1.0] for t in texts]", "e.py")
    path = stored(tmp_path, store={"index": {"embed": "./e.py:embed", "dims": 2}})
    _, store, _ = registry.configured(
        Settings(langgraph_json=path), redis=redis, keys=keys, saver=InMemorySaver()
    )
    await store.aput(("n",), "x", {"text": "aaa"})
    await store.aput(("n",), "y", {"text": "b"})
    assert [item.key for item in await store.asearch(("n",), query="aa")] == ["x", "y"]
