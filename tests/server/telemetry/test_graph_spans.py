"""A user's graph in its run's trace: its nodes, and the calls that each of them makes."""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from redis.asyncio import Redis

from graphs import events
from graphs.keys import Keys
from server.executor import GraphExecutor
from server.runs.asked import Asked
from server.runs.record import RunRecord
from server.telemetry import names
from server.telemetry.content import Content
from server.telemetry.hearing import Left, Listeners
from server.telemetry.kept import MemoryTraces
from server.telemetry.tracing import Tracing
from tests.server.graphs.desk import LIMITS, Desk
from tests.server.telemetry.tracing_house import shape

# Assembled, so that no scanner takes it for one that was lost.
CANARY = "sk-" + "live4f8a9b2c7d1e6f3a5b8c9d2e"
SHAPE = """\
invoke_agent mine
  node look
    retrieval
    chat small/one
  node plan
    chat small/one
    execute_tool add
  node outer
    node inside
      execute_tool add
  node join"""


class State(TypedDict, total=False):
    done: Annotated[list[str], operator.add]


class Model(GenericFakeChatModel):
    """A provider that says its name and what it used."""

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> Any:
        return {"ls_model_name": "small/one", "ls_provider": "here"}


class Shelf(BaseRetriever):
    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        del query, run_manager
        return [Document("a"), Document("b")]


@tool
async def add(text: str) -> str:
    """Add."""
    return f"added {text}"


@tool
async def fail(text: str) -> str:
    """Fail."""
    raise ValueError(f"no {text}")


def model() -> Model:
    used = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
    said = AIMessage(
        "the reply",
        usage_metadata=used,
        response_metadata={"finish_reason": "stop", "model_name": "small/one-2"},
    )
    return Model(messages=iter([said]))


def branching() -> Any:
    """Two branches at once, one async and one in a thread, then a graph within, then a join."""
    met, away = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def plan(state: State) -> State:
        # Held until the other branch is at work: both are open at once.
        await met.wait()
        await (RunnableLambda(lambda it: it) | model()).ainvoke("plan it")
        await add.ainvoke({"text": CANARY})
        away.set()
        return {"done": ["plan"]}

    def look(state: State) -> State:
        loop.call_soon_threadsafe(met.set)
        asyncio.run_coroutine_threadsafe(away.wait(), loop).result(30)
        Shelf().invoke(f"where is {CANARY}")
        model().invoke("look")
        return {"done": ["look"]}

    async def inside(state: State) -> State:
        await add.ainvoke({"text": "inside"})
        return {"done": ["inside"]}

    async def join(state: State) -> State:
        return {"done": ["join"]}

    inner = StateGraph(State).add_node(inside).add_edge(START, "inside").compile()
    made = StateGraph(State).add_node(plan).add_node(look).add_node("outer", inner).add_node(join)
    made.add_edge(START, "plan").add_edge(START, "look")
    made.add_edge(["plan", "look"], "outer").add_edge("outer", "join").add_edge("join", END)
    return made


def one(work: Callable[..., Any]) -> Any:
    return StateGraph(State).add_node("work", work).add_edge(START, "work")


async def traced(
    redis: Redis, keys: Keys, graph: Any, *, content: Content = Content.OFF
) -> tuple[events.Outcome, list[Mapping[str, Any]]]:
    """A run of the graph, as a worker tells it, and its spans but for checkpoints."""
    desk = Desk(redis, keys)
    desk.serve(graph)
    tracing = Tracing(kept=MemoryTraces(), content=content)
    listeners = Listeners([tracing])
    record = RunRecord(
        run_id="r", thread_id="t", asked=Asked(graph="mine", input={"done": []}), token=1
    )
    await redis.set(keys.fence(record.checkpoint_thread), record.fence)
    executor = GraphExecutor(
        registry=desk.registry,
        ledgers=desk.ledgers,
        limits=LIMITS,
        listeners=listeners,
        traced=True,
    )
    listeners.hear(record, events.RunStarted(run_id="r", thread_id="t"))
    outcome = await executor(record, lambda _: None)
    listeners.hear(record, outcome, at=time.time())
    listeners.hear(record, Left(ended=True))
    trace = await tracing.trace("r")
    assert trace is not None
    root = next(span for span in trace.spans if span.kind == "consumer")
    root.parent = ""
    told = [{**span.to_json(), "links": []} for span in trace.spans]
    return outcome, [span for span in told if span["name"] != names.CHECKPOINT]


def named(spans: list[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    return next(span for span in spans if span["name"] == name)


async def test_nodes_and_their_calls_are_spans_that_nest_as_the_graph_does(
    redis: Redis, keys: Keys
) -> None:
    outcome, spans = await traced(redis, keys, branching())
    assert isinstance(outcome, events.RunFinished)
    assert "\n".join(shape(spans)) == SHAPE
    assert all(span["end"] is not None and not span["error"] for span in spans)
    chat = named(spans, "chat small/one")
    assert chat["kind"] == "client"
    assert chat["attributes"] == {
        names.OPERATION: "chat",
        names.MODEL: "small/one",
        names.PROVIDER: "here",
        names.RESPONSE_MODEL: "small/one-2",
        names.INPUT_TOKENS: 7,
        names.OUTPUT_TOKENS: 2,
        names.FINISH_REASONS: ["stop"],
    }
    assert named(spans, "node look")["attributes"] == {names.NODE: "look", names.STEP_NUMBER: 1}
    assert named(spans, "execute_tool add")["attributes"][names.TOOL] == "add"
    assert named(spans, names.RETRIEVAL)["attributes"][names.HITS] == 2


async def test_an_error_is_that_of_the_tool_and_of_the_node_and_a_pause_is_none(
    redis: Redis, keys: Keys
) -> None:
    async def breaks(state: State) -> State:
        await fail.ainvoke({"text": CANARY})
        return {}

    async def nameless(state: State) -> State:
        await GenericFakeChatModel(messages=iter(["hi"])).ainvoke("hi")
        return {}

    async def asks(state: State) -> State:
        interrupt("May I?")
        return {}

    outcome, spans = await traced(redis, keys, one(breaks))
    assert isinstance(outcome, events.RunFailed)
    assert shape(spans) == [
        "invoke_agent mine !ValueError",
        "  node work !ValueError",
        "    execute_tool fail !ValueError",
    ]
    assert CANARY not in str(spans)
    outcome, spans = await traced(redis, Keys(prefix=f"{keys.prefix}2:"), one(asks))
    assert isinstance(outcome, events.RunInterrupted)
    assert shape(spans) == ["invoke_agent mine", "  node work"]
    assert named(spans, "node work")["attributes"][names.STOP_REASON] == "interrupted"
    _, spans = await traced(redis, Keys(prefix=f"{keys.prefix}3:"), one(nameless))
    assert shape(spans)[2] == "    chat GenericFakeChatModel"


@pytest.mark.parametrize("content", list(Content))
async def test_what_tools_were_told_and_said_is_there_only_where_that_is_wanted(
    redis: Redis, keys: Keys, *, content: Content
) -> None:
    _, spans = await traced(redis, keys, branching(), content=content)
    told = str(spans)
    assert (CANARY in told) == (content is Content.FULL)
    for words in ("added ", "where is "):
        assert (words in told) == (content is not Content.OFF)
    # Prompts and replies of models are in no mode.
    assert "plan it" not in told
    assert "the reply" not in told
