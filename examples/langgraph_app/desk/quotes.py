"""A graph that is made for each run, from the run's configuration."""

from typing import TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph


class Quote(TypedDict, total=False):
    pieces: int
    price: float


def make_graph(config: RunnableConfig) -> StateGraph:
    each = float(config.get("configurable", {}).get("price_each", 2.5))

    def quote(state: Quote) -> Quote:
        return {"price": each * state["pieces"]}

    return StateGraph(Quote).add_node(quote).add_edge(START, "quote").add_edge("quote", END)
