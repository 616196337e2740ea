"""Whatever a graph has in its state becomes JSON that every wire can write."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langgraph.types import Command, Interrupt, Send
from pydantic import BaseModel

from graphs.plain import DEEPEST, plain


class Colour(Enum):
    RED = "red"


class Word(StrEnum):
    YES = "yes"


class Model(BaseModel):
    when: datetime
    inner: list[Colour] = []


@dataclasses.dataclass
class Point:
    x: int
    y: Any


class Pair(NamedTuple):
    one: int
    two: bytes


class Rude:
    def __str__(self) -> str:
        raise RuntimeError("no")


NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LEAVES: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.text(alphabet=st.characters(categories=["Cs", "L"]))
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals()
    | st.uuids()
    | st.complex_numbers()
    | st.sampled_from([Colour.RED, Word.YES, Rude(), Rude, object(), ValueError("x"), len])
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.integers()), inner)
        | st.tuples(inner, inner)
        | st.builds(Point, st.integers(), inner)
        | st.builds(lambda one: Send("node", one), inner)
        | st.builds(lambda one: Command(update={"a": one}, resume=one), inner)
        | st.builds(lambda one: Interrupt(value=one, id="i"), inner)
        | st.builds(lambda one: AIMessage("a", additional_kwargs={"x": one}), inner)
        | st.sets(st.integers() | st.text())
    ),
    max_leaves=20,
)


@given(value=VALUES)
def test_every_value_becomes_json_that_reads_back_the_same(value: Any) -> None:
    told = plain(value)
    assert orjson.loads(orjson.dumps(told)) == told


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**63 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=30,
    )
)
def test_what_is_json_already_stays_as_it_is(value: Any) -> None:
    assert plain(value) == value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (Model(when=NOON, inner=[Colour.RED]), {"when": NOON.isoformat(), "inner": ["red"]}),
        (Point(1, Word.YES), {"x": 1, "y": "yes"}),
        (Pair(1, b"\x00"), {"one": 1, "two": "AA=="}),
        ({1: {2}, Colour.RED: (3,)}, {"1": [2], "red": [3]}),
        (timedelta(minutes=1), 60.0),
        (Decimal("1.10"), "1.10"),
        (UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        (math.nan, None),
        (2**70, str(2**70)),
        ("a\ud800", "a?"),
        (np.array([1, 2]), [1, 2]),
        (np.float32(1.5), 1.5),
        (Interrupt(value=b"", id="i"), {"id": "i", "value": ""}),
        (Send("n", {1}), {"node": "n", "input": [1]}),
        (Command(resume=True), {"resume": True}),
        (Command(goto=Send("n", None)), {"goto": {"node": "n", "input": None}}),
        (ValueError("why"), {"error": "ValueError", "message": "why"}),
        (Rude(), "<Rude>"),
    ],
)
def test_each_kind_has_its_shape(value: Any, told: Any) -> None:
    assert plain(value) == told


@pytest.mark.parametrize(
    "message",
    [
        HumanMessage([{"type": "text", "text": "hello"}], id="1"),
        AIMessage(
            "",
            tool_calls=[{"name": "search", "args": {"q": "x"}, "id": "c"}],
            usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        ),
        AIMessageChunk(content="pie", id="2", tool_call_chunks=[]),
        ToolMessage("found", tool_call_id="c", artifact=["x"]),
        AIMessage("b", unheard_of=1),
    ],
)
def test_a_message_is_told_as_its_own_dump_has_it(message: Any) -> None:
    assert plain(message) == orjson.loads(orjson.dumps(message.model_dump()))


def test_what_holds_itself_comes_to_an_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    depth, told = 0, plain(endless)
    while isinstance(told, list):
        depth, told = depth + 1, told[0]
    assert depth == DEEPEST + 1
    assert isinstance(told, str)
