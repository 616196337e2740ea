"""What the team tells leaves without secrets, however little each part is looked at."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import events
from guardrails.redaction import SECRET, Kind, Redactor
from server.redacted_telling import Telling

KEY = "ghp_" + "a1B2" * 9
TEXTS = st.sampled_from(["", "plans.md", KEY, f"it is {KEY}.", "[token 1]", "password: abc123def"])
VALUES = st.recursive(
    st.one_of(TEXTS, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.one_of(TEXTS, st.integers(0, 9)), inner, max_size=3),
    ),
    max_leaves=6,
)
EVENTS = st.one_of(
    st.builds(
        events.ToolStarted,
        agent=TEXTS,
        task_id=TEXTS,
        call_id=TEXTS,
        tool=TEXTS,
        args=st.dictionaries(TEXTS, VALUES, max_size=3),
    ),
    st.builds(
        events.RetrievalQuery,
        agent=TEXTS,
        task_id=TEXTS,
        query=TEXTS,
        filters=st.dictionaries(TEXTS, VALUES, max_size=2),
        stages=st.lists(
            st.builds(
                events.Stage, name=TEXTS, candidates=st.just(1), ms=st.just(0.5), skipped=TEXTS
            ),
            max_size=2,
        ),
    ),
    st.builds(events.Verdict, supported=st.booleans(), problems=st.lists(TEXTS, max_size=3)),
    st.builds(events.GraphChunk, mode=st.just("custom"), data=VALUES),
)


WORDS = st.sampled_from(
    [
        "the", "key", "is", KEY, "password:", "password =", '"token":', "abc123def", "Bearer", "\n",
        "[token 1]", "aws", "secret", "plans.md", "MIIB", "12-34", "  ", "basic", "Zm9vOmJhcg==",
        "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----", "authorization:",
        "https://u:pw1@host/x", "eyJhbGciOiJI.eyJzdWIiOiIx.abc", f"aws_secret_key = {'aB1/' * 10}",
    ]
)  # fmt: skip
PERSONS = st.sampled_from(
    [
        "call", "+49 30 1234567", "or", "(030) 901820 12", "DE89 3704 0044 0532 0130 00", "to",
        "GB29 NWBK 6016 1331 9268 19", "card 4111 1111 1111 1111", "ana@example.com", "12", "3.5",
    ]
)  # fmt: skip


def telling(seen: list[events.RunEvent], kinds: frozenset[Kind] = SECRET) -> Telling:
    return Telling(seen.append, kinds=kinds)


@given(told=st.lists(EVENTS, max_size=6))
def test_each_leaves_as_it_would_looked_at_text_by_text(told: list[Any]) -> None:
    seen: list[events.RunEvent] = []
    tell = telling(seen)
    slowly = Redactor(kinds=SECRET)
    for event in told:
        tell(event)
        assert seen[-1].model_dump(mode="json") == slowly.redact_all(event.model_dump(mode="json"))


def test_no_secret_leaves_in_any_part_of_an_event() -> None:
    seen: list[events.RunEvent] = []
    tell = telling(seen)
    where: dict[str, Any] = {"agent": "coder", "task_id": "1", "call_id": "2", "tool": "run_python"}
    tell(events.ToolStarted(**where, args={"code": ["x", {"key": KEY}], KEY: 1}))
    tell(events.ToolFinished(**where, ok=True, summary=f"printed {KEY}", seconds=1.0))
    tell(events.Verdict(supported=False, problems=["none", f"states {KEY}"]))
    assert len(seen) == 3
    assert all(KEY not in event.model_dump_json() for event in seen)


def cut(text: str, places: list[int]) -> list[str]:
    """The text in pieces, as a model writes it."""
    ends = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[start:end] for start, end in pairwise(ends)]


def delta(text: str = "", *, message_id: str = "m", task_id: str = "1", **more: Any) -> Any:
    given: dict[str, Any] = {
        "agent": "a",
        "task_id": task_id,
        "message_id": message_id,
        "text": text,
    }
    return events.ModelDelta(**given, **more)


@given(words=st.lists(WORDS, max_size=8), places=st.lists(st.integers(0, 400), max_size=40))
def test_what_a_model_writes_is_redacted_as_a_whole_wherever_it_is_cut(
    words: list[str], places: list[int]
) -> None:
    text = " ".join(words)
    seen: list[Any] = []
    tell = telling(seen)
    for piece in cut(text, places):
        tell(delta(piece, reasoning=piece))
    tell.flush()
    expected = Redactor(kinds=SECRET).redact(text)
    assert without_numbers("".join(one.text for one in seen)) == without_numbers(expected)
    assert without_numbers("".join(one.reasoning for one in seen)) == without_numbers(expected)


@given(words=st.lists(PERSONS, max_size=6), places=st.lists(st.integers(0, 200), max_size=30))
def test_numbers_of_people_are_found_across_pieces_too(words: list[str], places: list[int]) -> None:
    text = " then ".join(words)
    seen: list[Any] = []
    tell = telling(seen, frozenset(Kind))
    for piece in cut(text, places):
        tell(delta(piece))
    tell.flush()
    expected = Redactor(kinds=frozenset(Kind)).redact(text)
    assert without_numbers("".join(one.text for one in seen)) == without_numbers(expected)


def without_numbers(text: str) -> str:
    """Which number a placeholder has depends on what was seen before it."""
    return re.sub(r"(\[[a-z ]+) \d+\]", r"\1]", text)


def test_words_go_on_at_once_and_what_waits_goes_when_the_message_is_over() -> None:
    seen: list[Any] = []
    tell = telling(seen)
    tell(delta("Within 45 d"))
    assert [one.text for one in seen] == ["Within 45 "]
    tell(delta("of another task", message_id="n", task_id="2"))
    tell(delta("ays"))
    called = events.ModelCalled(
        agent="a", task_id="1", model="m", input_tokens=1, output_tokens=1, cost=0, seconds=1
    )
    tell(called)
    assert [one.text for one in seen[1:3]] == ["of another ", "days"]
    assert seen[3] is called
    tell(delta("again", message_id="o", task_id="2"))
    tell.flush()
    assert [one.text for one in seen[4:]] == ["task", "again"]


SAID = [{"type": "human", "content": f"Is {KEY} mine?"}, {"type": "ai", "content": f"{KEY} is."}]
INSIDE = [{"text": f"printed {KEY}"}]
CHUNKS: dict[str, Any] = {
    "values": {"messages": SAID, "findings": INSIDE},
    "updates": {"finish": {"messages": SAID, "cited": INSIDE}, "write": None},
    "messages": [SAID[1], {"langgraph_node": "finish", "note": KEY}],
    "tasks": {"name": "think", "input": {"history": INSIDE}},
    "checkpoints": {"values": {"messages": SAID, "findings": INSIDE}},
    "debug": {"type": "task_result", "payload": {"result": {"findings": INSIDE}}},
    "events": {"event": "on_chain_stream", "data": {"chunk": INSIDE}},
}


@pytest.mark.parametrize("mode", CHUNKS)
def test_of_a_chunk_nothing_but_the_conversation_has_a_secret(mode: str) -> None:
    seen: list[Any] = []
    telling(seen)(events.GraphChunk(mode=mode, data=CHUNKS[mode]))
    told = json.dumps(seen[0].data)
    for kept in SAID:
        told = told.replace(json.dumps(kept), "")
    assert KEY not in told
    assert (json.dumps(SAID[1]) in json.dumps(seen[0].data)) == (
        mode in {"values", "updates", "messages"}
    )


def test_pieces_of_messages_and_tools_messages_are_no_conversation() -> None:
    seen: list[Any] = []
    tell = telling(seen)
    for kind in ("AIMessageChunk", "tool"):
        tell(events.GraphChunk(mode="messages", data=[{"type": kind, "content": KEY}, {}]))
    assert KEY not in "".join(one.model_dump_json() for one in seen)


def test_what_a_person_decides_upon_is_told_as_it_is() -> None:
    seen: list[Any] = []
    tell = telling(seen)
    asked = {"__interrupt__": [{"id": "i", "value": {"args": {"key": KEY}}}]}
    tell(events.GraphChunk(mode="values", data=asked))
    tell(events.GraphChunk(mode="updates", data=asked))
    assert [one.data for one in seen] == [asked, asked]


def test_an_end_keeps_its_answer_and_nothing_else_that_is_secret() -> None:
    source = events.Source(
        number=1, document_id="d", chunk_id="c", title="t", source="s", text=f"It is {KEY}."
    )
    cell = events.Cell(code=f"print('{KEY}')", output=KEY, ok=True)
    end = events.RunFinished(
        answer=f"{KEY} [1]",
        sources=[source],
        cells=[cell],
        stop_reason="answered",
        usage=events.Usage(),
        values=CHUNKS["values"],
    )
    told = telling([]).ending(end)
    assert (told.answer, told.values["messages"]) == (end.answer, SAID)
    rest = told.model_copy(update={"answer": "", "values": told.values["findings"]})
    assert KEY not in rest.model_dump_json()
    assert telling([], frozenset()).ending(end) is end
