"""Graphs that the executor is tested with, as a user would write them."""

from __future__ import annotations

import asyncio
import operator
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, TypedDict, cast

from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, AnyMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.config import get_stream_writer
from langgraph.func import entrypoint
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.runtime import Runtime
from langgraph.types import Send, interrupt
from pydantic import BaseModel

from guardrails.limits import LimitExceededError


class Log(TypedDict, total=False):
    done: Annotated[list[str], operator.add]


class Witness:
    """What really happened, and where a node is to be held; one for each test."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.seen: dict[str, Any] = {}
        self.hold: set[str] = set()
        self.holding = asyncio.Event()
        self.go = asyncio.Event()

    async def node(self, name: str) -> Log:
        self.ran.append(name)
        if name in self.hold:
            self.holding.set()
            await self.go.wait()
        return {"done": [name]}


def chain(witness: Witness, *names: str) -> StateGraph[Any, Any, Any, Any]:
    """Nodes one after another; one called ``ask...`` asks, ``twice`` asks two questions."""
    graph = StateGraph(Log)
    for name in names:
        graph.add_node(name, _node(witness, name))
    for before, after in zip((START, *names), names, strict=False):
        graph.add_edge(before, after)
    return graph


def _node(witness: Witness, name: str) -> Any:
    async def node(state: Log) -> Log:
        if name.startswith("ask"):
            answer = interrupt({"question": name})
            return {"done": [*(await witness.node(name))["done"], f"{answer}"]}
        if name == "twice":
            witness.ran.append("twice")
            first, second = interrupt("first"), interrupt("second")
            return {"done": [f"{first}", f"{second}"]}
        return await witness.node(name)

    return node


@dataclass
class Context:
    language: str = "en"


@dataclass
class Basket:
    pieces: int


class Colour(Enum):
    RED = "red"


class Price(BaseModel):
    amount: float
    colour: Colour = Colour.RED


class Shop(TypedDict, total=False):
    basket: Basket
    prices: dict[str, Price]
    kinds: list[str]


def shopping() -> StateGraph[Any, Any, Any, Any]:
    """Holds classes of its own over a pause."""

    def fill(state: Shop) -> Shop:
        return {"basket": Basket(pieces=3), "prices": {"a": Price(amount=1.5)}}

    def ask(state: Shop) -> Shop:
        interrupt("all?")
        prices = state["prices"]["a"]
        return {"kinds": [type(one).__name__ for one in (state["basket"], prices, prices.colour)]}

    graph = StateGraph(Shop).add_node(fill).add_node(ask)
    return graph.add_edge(START, "fill").add_edge("fill", "ask")


def calling(witness: Witness) -> StateGraph[Any, Any, Any, Any]:
    """A node that runs another graph on a thread of that graph's own."""
    other = chain(witness, "other").compile()

    async def call(state: Log) -> Log:
        await other.ainvoke({"done": []}, {"configurable": {"thread_id": "side"}})
        return {"done": ["called"]}

    return StateGraph(Log).add_node(call).add_edge(START, "call")


class Talk(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    seen: dict[str, Any]


def muttering() -> StateGraph[Any, Any, Any, Any]:
    """A model that is called from a node that is not async, which runs in a thread."""

    def mutter(state: Talk) -> Talk:
        del state
        usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
        said = AIMessage("hello world", usage_metadata=usage)
        return {"messages": [GenericFakeChatModel(messages=iter([said])).invoke("hi")]}

    return StateGraph(Talk).add_node(mutter).add_edge(START, "mutter")


def talking(witness: Witness) -> StateGraph[Any, Any, Any, Any]:
    """A model that says two words, told of by a writer as well."""

    async def speak(state: Talk, config: RunnableConfig, runtime: Runtime[Context]) -> Talk:
        witness.seen["config"] = config
        witness.seen["context"] = runtime.context
        get_stream_writer()({"about": "to speak"})
        usage = {"input_tokens": 7, "output_tokens": 2, "total_tokens": 9}
        said = AIMessage("hello world", usage_metadata=usage)
        model = GenericFakeChatModel(messages=iter([said]))
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(Talk, context_schema=Context)
    graph.add_node("speak", cast("Any", speak))
    return graph.add_edge(START, "speak")


def crowd(witness: Witness, *, many: int) -> StateGraph[Any, Any, Any, Any]:
    """Branches that each ask a model and use a tool, whatever became of the other."""

    @tool
    async def ring() -> str:
        """Ring a bell."""
        witness.ran.append("ring")
        return "rung"

    async def one(state: Log) -> Log:
        for attempt in (Counted(witness=witness).ainvoke("hi"), ring.ainvoke({})):
            try:
                await attempt
            except LimitExceededError as reached:
                witness.ran.append(reached.limit)
        return {"done": ["one"]}

    graph = StateGraph(Log).add_node(one)
    return graph.add_conditional_edges(START, lambda _: [Send("one", {})] * many)


class Counted(GenericFakeChatModel):
    """Says one word, and notes that it was asked."""

    witness: Witness
    messages: Any = ()

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        self.witness.ran.append("model")
        return ChatResult(generations=[ChatGeneration(message=AIMessage("hello"))])


def nested(witness: Witness) -> StateGraph[Any, Any, Any, Any]:
    """A graph in a graph, both with a step."""
    inner = chain(witness, "inside").compile()
    graph = StateGraph(Log)
    graph.add_node("outer", inner)
    graph.add_edge(START, "outer")
    return graph


def broad(witness: Witness) -> StateGraph[Any, Any, Any, Any]:
    """Two questions at the same time."""
    graph = StateGraph(Log)
    for name in ("ask_left", "ask_right"):
        graph.add_node(name, _node(witness, name))
        graph.add_edge(START, name)
    return graph


def failing(error: Exception) -> StateGraph[Any, Any, Any, Any]:
    async def fail(state: Log) -> Log:
        raise error

    return StateGraph(Log).add_node(fail).add_edge(START, "fail")


def endless() -> StateGraph[Any, Any, Any, Any]:
    def again(state: Log) -> Log:
        return {"done": ["again"]}

    graph = StateGraph(Log).add_node(again).add_edge(START, "again")
    return graph.add_conditional_edges("again", lambda _: [Send("again", {})])


@entrypoint()
async def doubled(number: int) -> dict[str, int]:
    return {"twice": 2 * number}
