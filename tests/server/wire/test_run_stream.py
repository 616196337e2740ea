"""A run on LangGraph's wire, from its entries in the log to the bytes that a client gets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.runs.asked import TEAM
from server.wire.rendering import Rendering, Wish
from server.wire.rendering_ids import FRAMES
from server.wire.run_stream import Screens
from tests import examples
from tests.server.surface import Sent, sent
from tests.server.wire.telling import (
    FAILED,
    FINISHED,
    PAUSED,
    QUESTIONS,
    RUN,
    STARTED,
    THREAD,
    Event,
    ToldRuns,
    chunk,
    piece,
    record,
    streamed,
)

MODES = "values updates messages messages-tuple custom debug".split()


async def told(story: Sequence[Event], *modes: str, **options: Any) -> list[tuple[str, Any]]:
    """Names and data of the events that a story comes to."""
    runs = ToldRuns(story=story, record=options.pop("record", record()))
    stream = await streamed(runs, *modes, **options)
    return [(event.event, json.loads(event.data)) for event in sent(stream.decode())]


def names(events: Sequence[tuple[str, Any]]) -> list[str]:
    return [name for name, _ in events]


async def test_a_stream_begins_with_its_run_and_ends_with_its_state() -> None:
    events = await told([STARTED, chunk("values", {"n": 1}), FINISHED], "values")
    assert events == [
        ("metadata", {"run_id": RUN, "thread_id": THREAD, "attempt": 1}),
        ("values", {"n": 1}),
        ("end", {"run_id": RUN, "status": "success"}),
    ]


async def test_only_the_wanted_modes_are_told() -> None:
    story = [
        STARTED,
        chunk("values", {"n": 1}),
        chunk("updates", {"node": {"n": 1}}),
        chunk("custom", {"progress": 1}),
        chunk("tasks", {"id": "t"}),
        FINISHED,
    ]
    assert names(await told(story, "updates")) == ["metadata", "updates", "end"]
    assert names(await told(story, "custom", "tasks")) == ["metadata", "custom", "tasks", "end"]


async def test_subgraphs_speak_under_their_path_and_only_if_asked() -> None:
    story = [chunk("values", {"n": 1}, "sub:1", "deep:2"), piece("x", "sub:1"), FINISHED]
    modes = ("values", "messages-tuple")
    assert names(await told(story, *modes, subgraphs=True)) == [
        "metadata",
        "values|sub:1|deep:2",
        "messages|sub:1",
        "end",
    ]
    assert names(await told(story, *modes)) == ["metadata", "end"]


async def test_messages_tuple_tells_pieces_as_they_are() -> None:
    events = await told([piece("Hel"), piece("lo"), FINISHED], "messages-tuple")
    assert [data[0]["content"] for name, data in events if name == "messages"] == ["Hel", "lo"]


async def test_messages_tells_what_there_is_so_far_and_when_it_is_whole() -> None:
    call = {"name": "search", "args": '{"q"', "id": "c1", "index": 0, "type": "tool_call_chunk"}
    rest = {"name": None, "args": ": 1}", "id": None, "index": 0, "type": "tool_call_chunk"}
    story = [
        piece("Hel"),
        piece("other", id="m2"),
        piece("lo", chunk_position="last"),
        piece("", id="m2", tool_call_chunks=[call]),
        piece("", id="m2", tool_call_chunks=[rest]),
        chunk("messages", [{"type": "tool", "id": "m3", "content": "found"}, {"n": 1}]),
        FINISHED,
    ]
    events = await told(story, "messages")
    assert names(events)[1:-1] == [
        "messages/metadata",
        "messages/partial",
        "messages/metadata",
        "messages/partial",
        "messages/partial",
        "messages/complete",
        "messages/partial",
        "messages/partial",
        "messages/metadata",
        "messages/complete",
        "messages/complete",
    ]
    said = [
        (data[0]["id"], data[0]["content"])
        for name, data in events
        if name in {"messages/partial", "messages/complete"}
    ]
    assert said == [
        ("m1", "Hel"),
        ("m2", "other"),
        ("m1", "Hello"),
        ("m1", "Hello"),
        ("m2", "other"),
        ("m2", "other"),
        ("m3", "found"),
        ("m2", "other"),
    ]
    last = events[-2][1][0]
    assert last["type"] == "ai"
    assert [(one["name"], one["args"]) for one in last["tool_calls"]] == [("search", {"q": 1})]
    assert events[1][1] == {"m1": {"metadata": {"langgraph_node": "model"}}}


async def test_a_pause_tells_its_questions_whatever_was_asked() -> None:
    paused = ("end", {"run_id": RUN, "status": "interrupted"})
    asks = ("values", {"__interrupt__": QUESTIONS})
    for modes in (["messages-tuple"], ["custom", "updates"], []):
        assert (await told([STARTED, PAUSED], *modes))[1:] == [asks, paused]


async def test_the_questions_of_a_pause_are_told_once_where_states_are() -> None:
    state = chunk("values", {"n": 1, "__interrupt__": QUESTIONS})
    assert (await told([STARTED, state, PAUSED], "values"))[1:-1] == [("values", state["data"])]
    # The next pause has questions of its own, which a graph that is taken up may not tell.
    later = await told([state, PAUSED, chunk("values", {"n": 2}), PAUSED], "values")
    assert [data for name, data in later if name == "values"] == [
        state["data"],
        {"n": 2},
        {"__interrupt__": QUESTIONS},
    ]
    at_a_node = {**PAUSED, "interrupts": []}
    assert (await told([chunk("values", {}), at_a_node], "values"))[2] == (
        "values",
        {"__interrupt__": []},
    )


async def test_a_run_that_went_on_after_its_pause_has_one_end() -> None:
    story = [STARTED, PAUSED, chunk("updates", {"a": 1}), FINISHED]
    assert names(await told(story, "updates")) == ["metadata", "values", "updates", "end"]


@pytest.mark.parametrize(
    ("error", "status"),
    [("ModelTimeout", "error"), ("cancelled", "interrupted"), ("timeout", "timeout")],
)
async def test_a_failure_is_told_before_the_end(error: str, status: str) -> None:
    events = await told([STARTED, {**FAILED, "error": error}], "values")
    assert events[1:] == [
        ("error", {"error": error, "message": "It is slow; wait."}),
        ("end", {"run_id": RUN, "status": status}),
    ]


async def test_a_second_attempt_is_announced() -> None:
    events = await told([STARTED, {"type": "run.started", "attempt": 2}, FINISHED])
    assert [data["attempt"] for name, data in events if name == "metadata"] == [1, 2]


async def test_the_teams_own_events_are_custom_and_another_graphs_are_not_told() -> None:
    story = [STARTED, {"type": "agent.started", "agent": "coder"}, FINISHED]
    assert names(await told(story, "custom", record=record(graph=TEAM))) == [
        "metadata",
        *["custom"] * 3,
        "end",
    ]
    assert names(await told(story, "custom")) == ["metadata", "end"]


async def test_what_a_model_of_the_team_writes_is_told_as_messages() -> None:
    delta = {
        "type": "model.delta",
        "agent": "researcher",
        "task_id": "1",
        "message_id": "m1",
        "text": "Hi",
        "reasoning": "Well",
    }
    events = await told([delta, FINISHED], "messages-tuple", record=record(graph=TEAM))
    message, metadata = events[1][1]
    assert (message["content"], message["id"]) == ("Hi", "m1")
    assert message["additional_kwargs"] == {"reasoning_content": "Well"}
    assert metadata["langgraph_node"] == "researcher"
    partial = await told([delta, FINISHED], "messages", record=record(graph=TEAM))
    assert names(partial)[1:-1] == ["messages/metadata", "messages/partial", "messages/complete"]


async def test_the_team_ends_with_a_state_unless_its_graph_told_one() -> None:
    team = record(graph=TEAM, input={"messages": [{"role": "user", "content": "How long?"}]})
    end = {**FINISHED, "answer": "30 days"}
    (_, (name, state), _) = await told([end], "values", record=team)
    assert name == "values"
    assert [message["content"] for message in state["messages"]] == ["How long?", "30 days"]
    events = await told([chunk("values", {"n": 1}), end], "values", record=team)
    assert names(events) == ["metadata", "values", "end"]
    assert events[1][1] == {"n": 1}


async def test_history_that_was_trimmed_is_an_explicit_gap() -> None:
    story = [STARTED, *[chunk("custom", n) for n in range(4)], FINISHED]
    runs = ToldRuns(story=story, trimmed=3)
    first = sent((await streamed(runs, "custom")).decode())
    assert [event.event for event in first] == ["metadata", "custom", "custom", "custom", "end"]
    assert json.loads(first[1].data)["type"] == "log.gap"
    other = sent((await streamed(runs, "values")).decode())
    assert [event.event for event in other] == ["metadata", "gap", "end"]
    # Who has seen all that is gone is told of no gap.
    again = await streamed(runs, "custom", last_event_id=first[1].id)
    assert [event.event for event in sent(again.decode())] == ["custom", "custom", "end"]


async def test_a_run_whose_log_is_gone_still_has_its_end() -> None:
    runs = ToldRuns(story=[STARTED, FAILED])
    whole = sent((await streamed(runs)).decode())
    late = sent((await streamed(runs, last_event_id="9999999999999-5")).decode())
    assert [event.event for event in late] == ["gap", "error", "end"]
    assert numbers(late)[0] > numbers(whole)[-1]
    rest = sent((await streamed(runs, last_event_id=late[0].id)).decode())
    assert rest == late[1:]
    assert await streamed(runs, last_event_id=late[-1].id) == b""


async def test_a_run_that_goes_on_without_a_log_is_not_said_to_be_over() -> None:
    assert names(await told([], "values")) == ["metadata"]


def numbers(events: Sequence[Sent]) -> list[tuple[int, ...]]:
    return [tuple(int(word) for word in (event.id or "").split("-")) for event in events]


STORIES = st.lists(
    st.one_of(
        st.just(STARTED),
        st.just({"type": "run.started", "attempt": 2}),
        st.builds(chunk, st.sampled_from(MODES[:2] + MODES[4:]), st.integers(0, 9)),
        st.builds(chunk, st.just("values"), st.just({"n": 1}), st.just("sub:1")),
        st.builds(
            lambda text, name: piece(text, id=name),
            st.text("aé\n ", max_size=3),
            st.sampled_from(["m1", "m2", "m3"]),
        ),
        st.just(chunk("messages", [{"type": "tool", "id": "m2", "content": "x"}, {}])),
        st.just(chunk("values", {"n": 1, "__interrupt__": QUESTIONS})),
        st.just(PAUSED),
    ),
    max_size=12,
)
ENDS = st.sampled_from([[FINISHED], [FAILED], [PAUSED]])


@settings(max_examples=examples.times(60), deadline=None)
@given(
    story=STORIES,
    end=ENDS,
    modes=st.sets(st.sampled_from(MODES)),
    graph=st.sampled_from(["echo", TEAM]),
    at_once=st.integers(1, 4),
    cuts=st.lists(st.floats(0, 1), max_size=4),
)
async def test_a_stream_that_is_cut_at_any_byte_goes_on_exactly_where_it_ended(
    story: list[Event],
    end: list[Event],
    modes: set[str],
    graph: str,
    at_once: int,
    cuts: list[float],
) -> None:
    paused_before = replace(record(graph=graph), resumes=1)
    runs = ToldRuns(story=[*story, *end], record=paused_before, at_once=at_once)
    screens = Screens()
    whole = await streamed(runs, *modes, subgraphs=True, screens=screens)
    ids = numbers(sent(whole.decode()))
    assert ids == sorted(set(ids))
    got, last = b"", None
    for cut in cuts:
        stream = await streamed(runs, *modes, subgraphs=True, last_event_id=last, screens=screens)
        arrived = stream[: int(len(stream) * cut)]
        # A client throws away what did not come to its blank line.
        complete = arrived[: arrived.rfind(b"\n\n") + 2] if b"\n\n" in arrived else b""
        got += complete
        if complete:
            last = sent(complete.decode())[-1].id
    got += await streamed(runs, *modes, subgraphs=True, last_event_id=last, screens=screens)
    assert got == whole
    assert len(screens) == 0


async def test_readers_of_the_same_get_the_same_and_it_is_rendered_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rendered = 0
    show = Rendering.show

    def counted(self: Rendering, entry: Any) -> Any:
        nonlocal rendered
        rendered += 1
        return show(self, entry)

    story = [piece("Hel"), chunk("values", {"n": 1}), piece("lo"), FINISHED]
    runs, screens = ToldRuns(story=story), Screens()
    wish = Wish(modes=frozenset({"messages", "values"}))
    with screens.reader(runs.record, wish) as first, screens.reader(runs.record, wish) as second:
        monkeypatch.setattr(Rendering, "show", counted)
        early = [first.frames(entry) for entry in runs.entries[:2]]
        assert [second.frames(entry) for entry in runs.entries[:2]] == early
        assert rendered == 2
        # The second one is ahead now: it has caught up with what the first one rendered.
        late = [second.frames(entry) for entry in runs.entries[2:]]
        assert [first.frames(entry) for entry in runs.entries[2:]] == late
    monkeypatch.undo()
    alone = await streamed(runs, "messages", "values")
    assert alone.endswith(b"".join(b"".join(frames) for frames in [*early, *late]))


async def test_a_reader_who_comes_back_reads_no_more_of_the_log_than_it_needs() -> None:
    story = [STARTED, *[chunk("values", n) for n in range(9)], FINISHED]
    runs = ToldRuns(story=story, at_once=1)
    event = sent((await streamed(runs, "values")).decode())[5]
    await streamed(runs, "values", last_event_id=event.id)
    assert runs.reads[-1] > "1003"


def test_an_entry_has_room_for_its_frames_however_many_messages_are_open() -> None:
    rendering = Rendering(record(), Wish(modes=frozenset(MODES)))
    pieces = ToldRuns(story=[*[piece("x", id=f"m{n}") for n in range(1200)], FINISHED])
    *_, last = [rendering.show(entry) for entry in pieces.entries]
    assert len(last) < FRAMES
    whole = [message for name, data in last if name == "messages/complete" for message in data]
    assert len({message["id"] for message in whole}) == 1200
