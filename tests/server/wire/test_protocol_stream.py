"""A thread followed by the thread-centric protocol: each event has one place, for every reader."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from server.wire.protocol import CHANNELS, Subscription
from server.wire.protocol_stream import Numbered, ThreadEvents, seq_of
from server.wire.rendering_ids import BEGINNING, Position, parsed
from tests.server.wire.telling import FINISHED, PAUSED, STARTED, THREAD, ToldRuns, chunk, piece

ALL = Subscription(channels=list(CHANNELS))
TASK = {"id": "t2", "name": "look", "input": {}}
ENTRIES = st.sampled_from(
    [
        chunk("values", {"n": 1}),
        chunk("values", {"n": 2}, "inner:t1"),
        chunk("checkpoint-refs", {"id": "c1", "step": 1, "source": "loop"}),
        chunk("updates", {"look": {"n": 1}, "write": {"n": 2}}),
        chunk("tasks", TASK, "inner:t1"),
        chunk("tasks", {"id": "t1", "name": "inner", "result": {}}),
        chunk("custom", {"progress": 1}),
        piece("The "),
        piece("notice", "inner:t1", id="m2"),
        {**STARTED, "attempt": 2},
    ]
)
STORIES = st.lists(ENTRIES, max_size=10).map(lambda told: [STARTED, *told, FINISHED])


async def read(
    runs: ToldRuns, wanted: Subscription = ALL, *, after: Position = BEGINNING
) -> list[Numbered]:
    reader = ThreadEvents(runs, thread_id=THREAD, tenant="default")
    async with aclosing(reader.events(wanted, after=after)) as found:
        return [one async for one in found]


@given(story=STORIES, at_once=st.integers(1, 4), where=st.floats(0, 1))
async def test_a_reader_who_comes_back_gets_what_is_left(
    story: list[Any], at_once: int, where: float
) -> None:
    runs = ToldRuns(story=story, at_once=at_once)
    whole = [one.body for one in await read(runs)]
    last = whole[int(where * (len(whole) - 1))]
    behind = whole[whole.index(last) + 1 :]
    since = ALL.model_copy(update={"since": last["seq"]})
    assert [one.body for one in await read(runs, since)] == behind
    frame = next(one for one in await read(runs) if one.body == last).frame
    sent = frame.decode().split("id: ")[1].partition("\n")[0]
    assert [one.body for one in await read(runs, after=parsed(sent))] == behind


@given(story=STORIES, at_once=st.integers(1, 4))
async def test_places_grow_and_are_the_same_whatever_else_is_read(
    story: list[Any], at_once: int
) -> None:
    runs = ToldRuns(story=story, at_once=at_once)
    whole = [one.body for one in await read(runs)]
    assert len({one["event_id"] for one in whole}) == len(whole)
    assert [one["seq"] for one in whole] == sorted({one["seq"] for one in whole})
    for channel in CHANNELS:
        some = [one.body for one in await read(runs, Subscription(channels=[channel]))]
        method = "input.requested" if channel == "input" else channel
        assert some == [one for one in whole if one["method"] == method]


async def test_the_run_is_named_by_its_beginning_and_its_end() -> None:
    runs = ToldRuns(story=[STARTED, piece("The"), PAUSED, STARTED, FINISHED])
    whole = [one.body for one in await read(runs)]
    named = [one for one in whole if one["event_id"].startswith("synth:")]
    assert [one["params"]["data"]["event"] for one in named] == [
        "running",
        "interrupted",
        "running",
        "completed",
    ]
    assert {one["event_id"].split(":")[1] for one in named} == {runs.record.run_id}
    assert all(one["params"]["timestamp"] == one["seq"] // 4096 for one in whole)


async def test_what_was_there_before_a_command_is_up_to_its_number() -> None:
    runs = ToldRuns(story=[STARTED, FINISHED, STARTED, FINISHED], at_once=2)
    whole = await read(runs)
    through = seq_of(runs.entries[1].id)
    assert [one.seq > through for one in whole] == [False, False, True, True]
    assert seq_of("0-0") == 0


async def test_what_the_log_has_lost_is_told() -> None:
    runs = ToldRuns(story=[STARTED, piece("The"), FINISHED], trimmed=1)
    first, *_ = [one.body for one in await read(runs)]
    assert first["method"] == "custom"
    assert first["params"]["data"]["name"] == "log.gap"
    assert orjson.dumps(first)
