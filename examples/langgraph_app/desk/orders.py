"""An order desk: it reads an order, asks a person about large ones, and remembers who ordered."""

import os
import re
from typing import Annotated, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.store.base import BaseStore
from langgraph.types import interrupt


class Order(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], add_messages]
    amount: int
    approved: bool


def read(state: Order) -> Order:
    found = re.search(r"\d+", state["messages"][-1].text)
    get_stream_writer()({"step": "read"})
    return {"amount": int(found.group()) if found else 0, "approved": False}


def needs_approval(state: Order) -> str:
    return "approve" if state["amount"] > int(os.environ["DESK_APPROVAL_FROM"]) else "confirm"


def approve(state: Order) -> Order:
    return {"approved": bool(interrupt({"question": f"Order {state['amount']} pieces?"}))}


async def confirm(state: Order, *, store: BaseStore) -> Order:
    large = state["amount"] > int(os.environ["DESK_APPROVAL_FROM"])
    if large and not state["approved"]:
        return {"messages": [AIMessage("Nothing was ordered.")]}
    await store.aput(("orders",), "last", {"amount": state["amount"]})
    return {"messages": [AIMessage(f"Ordered {state['amount']} pieces.")]}


builder = StateGraph(Order)
builder.add_node("read", read)
builder.add_node("approve", approve)
builder.add_node("confirm", confirm)
builder.add_edge(START, "read")
builder.add_conditional_edges("read", needs_approval, ["approve", "confirm"])
builder.add_edge("approve", "confirm")
builder.add_edge("confirm", END)
graph = builder.compile()
