"""The thread-centric protocol: what is subscribed to, and what entries of the log come to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from graphs.event_log import Entry
from server.runs.asked import TEAM, Asked
from server.runs.record import RunRecord
from server.wire.protocol import Subscription, Told
from server.wire.protocol_graph import ProtocolRendering

CHILD = ["inner:t1"]
STEP = {"configurable": {"checkpoint_id": "c1"}}
CHECKPOINT = {"config": STEP, "parent_config": None, "metadata": {"step": 0, "source": "loop"}}
STARTED = {"type": "run.started", "attempt": 1}
FINISHED = {"type": "run.finished", "answer": "Thirty days.", "checkpoint_id": "c9"}


def record(graph: str = "mine") -> RunRecord:
    return RunRecord(run_id="r1", thread_id="t", tenant="default", asked=Asked(graph=graph))


def chunk(mode: str, data: Any, ns: Sequence[str] = ()) -> dict[str, Any]:
    return {"type": "graph.chunk", "mode": mode, "ns": list(ns), "data": data}


def shown(*events: Mapping[str, Any], graph: str = "mine") -> list[Told]:
    rendering = ProtocolRendering(record(graph))
    entries = [
        Entry(id=f"{number}-0", run_id="r1", event=event) for number, event in enumerate(events, 1)
    ]
    return [told for entry in entries for told in rendering.show(entry)]


def brief(told: Sequence[Told]) -> list[Any]:
    return [(one.method, list(one.namespace), one.data.get("event", one.data)) for one in told]


def told(method: str = "values", namespace: Sequence[str] = (), **data: Any) -> Told:
    return Told(method=method, data=data, namespace=tuple(namespace))


@pytest.mark.parametrize(
    ("namespaces", "depth", "wanted"),
    [
        (None, None, [True, True, True, True]),
        ([], 0, [True, True, True, True]),
        ([[]], 0, [True, False, False, False]),
        ([[]], 1, [True, True, False, True]),
        ([["inner"]], None, [False, True, True, False]),
        ([["inner"]], 0, [False, True, False, False]),
        ([["inner:t1"]], None, [False, True, True, False]),
        ([["inner:t2"]], None, [False, False, False, False]),
        ([["other"], ["inner", "deep"]], None, [False, False, True, True]),
    ],
    ids=str,
)
def test_events_of_these_namespaces_are_wanted(
    namespaces: Any, depth: int | None, wanted: list[bool]
) -> None:
    asked = Subscription(channels=["values"], namespaces=namespaces, depth=depth)
    events = [told(namespace=ns) for ns in ((), CHILD, [*CHILD, "deep:t3"], ["other:t4"])]
    assert [asked.wants(one) for one in events] == wanted


def test_events_of_these_channels_are_wanted() -> None:
    events = [
        told("values"),
        told("input.requested"),
        told("custom", name="progress"),
        told("custom", payload=1),
    ]
    for channels, wanted in (
        (["values"], [True, False, False, False]),
        (["input"], [False, True, False, False]),
        (["custom"], [False, False, True, True]),
        (["custom:progress"], [False, False, True, False]),
        (["custom:other", "values"], [True, False, False, False]),
    ):
        asked = Subscription(channels=channels)
        assert [asked.wants(one) for one in events] == wanted


@pytest.mark.parametrize("channels", [[], ["value"], ["custom:"], ["input.requested"]], ids=str)
def test_a_channel_that_there_is_none_of_is_refused(channels: list[str]) -> None:
    with pytest.raises(ValidationError, match="channels"):
        Subscription(channels=channels)


def test_a_checkpoint_comes_before_the_values_of_its_step() -> None:
    events = shown(
        STARTED,
        chunk("values", {"n": 1}),
        chunk("checkpoints", CHECKPOINT),
        chunk("values", {"n": 2}),
        chunk("checkpoint-refs", {"id": "c2", "parent_id": "c1", "step": 1, "source": "loop"}),
        chunk("values", {"n": 3}),
        FINISHED,
    )
    assert brief(events) == [
        ("lifecycle", [], "running"),
        ("checkpoints", [], {"id": "c1", "step": 0, "source": "loop"}),
        ("values", [], {"n": 1}),
        ("checkpoints", [], {"id": "c2", "parent_id": "c1", "step": 1, "source": "loop"}),
        ("values", [], {"n": 2}),
        ("values", [], {"n": 3}),
        ("lifecycle", [], "completed"),
    ]
    assert events[-1].data["checkpoint"] == {"id": "c9"}
    assert [one.of_run for one in events] == [True, *[False] * 5, True]


def test_values_do_not_wait_for_the_checkpoint_of_another_namespace() -> None:
    events = shown(chunk("values", {"n": 1}), chunk("checkpoints", CHECKPOINT, CHILD))
    assert [(one.method, list(one.namespace)) for one in events] == [
        ("values", []),
        ("checkpoints", CHILD),
    ]


def test_a_subgraph_begins_with_its_first_task_and_ends_with_its_parents() -> None:
    task = {"id": "t1", "name": "inner", "input": {}}
    inner = {"id": "t2", "name": "look", "input": {}}
    events = shown(
        chunk("tasks", task),
        chunk("tasks", inner, CHILD),
        chunk("tasks", {"id": "t2", "name": "look", "result": {}}, CHILD),
        chunk("tasks", inner, CHILD),
        chunk("tasks", {"id": "t1", "name": "inner", "result": {}, "error": "no moon"}),
        FINISHED,
    )
    lifecycle = [one for one in events if one.method == "lifecycle"]
    assert brief(lifecycle) == [
        ("lifecycle", CHILD, "started"),
        ("lifecycle", CHILD, "failed"),
        ("lifecycle", [], "completed"),
    ]
    assert lifecycle[0].data == {
        "event": "started",
        "graph_name": "inner",
        "trigger_call_id": "t1",
    }
    assert lifecycle[1].data["error"] == "no moon"
    assert [one.node for one in events if one.method == "tasks"][:2] == ["inner", "look"]


def test_an_agent_that_a_tool_runs_says_which_call_did() -> None:
    call = {"__type": "tool_call_with_context", "tool_call": {"id": "call_1", "name": "ask"}}
    about = {"lc_agent_name": "helper"}
    events = shown(
        chunk("tasks", {"id": "t1", "name": "tools", "input": call}),
        chunk("tasks", {"id": "t2", "name": "model", "input": {}, "metadata": about}, ["tools:t1"]),
    )
    (begun,) = [one for one in events if one.method == "lifecycle"]
    assert begun.data["graph_name"] == "helper"
    assert begun.data["cause"] == {"type": "toolCall", "tool_call_id": "call_1"}


def test_a_question_is_told_where_it_was_asked_and_then_the_pause() -> None:
    asked = {"id": "i1", "value": {"question": "Shall I?"}}
    events = shown(
        STARTED,
        chunk("tasks", {"id": "t2", "name": "ask", "input": {}}, CHILD),
        chunk("tasks", {"id": "t2", "name": "ask", "result": {}, "interrupts": [asked]}, CHILD),
        chunk("values", {"n": 1, "__interrupt__": [asked]}),
        chunk("tasks", {"id": "t1", "name": "inner", "result": {}, "interrupts": [asked]}),
        {"type": "run.interrupted", "interrupts": [asked], "checkpoint_id": "c1"},
    )
    assert brief(events)[-3:] == [
        ("lifecycle", CHILD, "interrupted"),
        (
            "input.requested",
            CHILD,
            {"interrupt_id": "i1", "payload": asked["value"], "value": asked["value"]},
        ),
        ("lifecycle", [], "interrupted"),
    ]
    assert ("values", [], {"n": 1}) in brief(events)


@pytest.mark.parametrize(
    ("error", "phase"),
    [("ValueError", "failed"), ("timeout", "failed"), ("cancelled", "interrupted")],
)
def test_a_run_that_does_not_succeed_ends_once_with_all_that_was_open(
    error: str, phase: str
) -> None:
    writing = {"type": "AIMessageChunk", "id": "m1", "content": "The"}
    events = shown(
        STARTED,
        chunk("tasks", {"id": "t2", "name": "look", "input": {}}, CHILD),
        chunk("messages", [writing, {"langgraph_node": "look"}], CHILD),
        {"type": "run.failed", "error": error, "message": "The moon is full."},
    )
    assert brief(events)[-3:] == [
        ("messages", CHILD, "error"),
        ("lifecycle", CHILD, phase),
        ("lifecycle", [], phase),
    ]
    assert events[-1].data.get("error") == ("The moon is full." if phase == "failed" else None)


def test_a_paused_run_that_another_goes_on_from_ends_in_silence() -> None:
    replaced = {"type": "run.failed", "error": "answered", "message": "Another goes on."}
    assert shown(replaced) == []
    assert brief(shown({**replaced, "error": "cancelled"})) == [("lifecycle", [], "interrupted")]
    # One that was about to go on, and cannot, has failed.
    assert brief(shown(STARTED, {**replaced, "error": "overtaken"}))[-1][2] == "failed"


def test_an_attempt_that_was_lost_leaves_nothing_open() -> None:
    writing = {"type": "AIMessageChunk", "id": "m1", "content": "The"}
    events = shown(
        STARTED,
        chunk("tasks", {"id": "t2", "name": "look", "input": {}}, CHILD),
        chunk("messages", [writing, {}], CHILD),
        {**STARTED, "attempt": 2},
        chunk("tasks", {"id": "t2", "name": "look", "input": {}}, CHILD),
        FINISHED,
    )
    assert [one for one in brief(events) if one[0] in {"lifecycle", "messages"}][5:] == [
        ("messages", CHILD, "error"),
        ("lifecycle", CHILD, "interrupted"),
        ("lifecycle", [], "running"),
        ("lifecycle", CHILD, "started"),
        ("lifecycle", CHILD, "completed"),
        ("lifecycle", [], "completed"),
    ]


def test_the_teams_agents_are_its_subagents() -> None:
    at = {"agent": "coder", "task_id": "1"}
    call = {**at, "call_id": "k1", "tool": "run_code"}
    piece = {"type": "model.delta", **at, "message_id": "m1", "text": "Two."}
    spent = {"type": "model.called", **at, "input_tokens": 3, "output_tokens": 1}
    events = shown(
        STARTED,
        {"type": "agent.started", **at, "instruction": "Add."},
        {"type": "tool.started", **call, "args": {"code": "1+1"}},
        {"type": "tool.finished", **call, "ok": False, "summary": "no room"},
        {"type": "tool.refused", **call, "call_id": "k2", "reason": "the policy says no"},
        piece,
        spent,
        {"type": "agent.finished", **at, "summary": "Two."},
        {
            "type": "model.delta",
            "agent": "coordinator",
            "task_id": "",
            "message_id": "m2",
            "text": "So",
        },
        FINISHED,
        graph=TEAM,
    )
    where, apart = ["tools:1"], ["tools:coordinator"]
    own = [one for one in events if one.method != "custom"]
    assert brief(own) == [
        ("lifecycle", [], "running"),
        ("tools", [], "tool-started"),
        ("lifecycle", where, "started"),
        ("tools", where, "tool-started"),
        ("tools", where, "tool-error"),
        ("tools", where, "tool-started"),
        ("tools", where, "tool-error"),
        *[
            ("messages", where, event)
            for event in (
                "message-start",
                "content-block-start",
                "content-block-delta",
                "content-block-finish",
                "message-finish",
            )
        ],
        ("lifecycle", where, "completed"),
        ("tools", [], "tool-finished"),
        ("lifecycle", apart, "started"),
        ("messages", apart, "message-start"),
        ("messages", apart, "content-block-start"),
        ("messages", apart, "content-block-delta"),
        ("messages", apart, "content-block-finish"),
        ("messages", apart, "message-finish"),
        ("lifecycle", apart, "completed"),
        ("values", [], own[-2].data),
        ("lifecycle", [], "completed"),
    ]
    assert own[1].data["input"] == {"description": "Add.", "subagent_type": "coder"}
    assert own[2].data["cause"] == {"type": "toolCall", "tool_call_id": "1"}
    assert own[-2].data["messages"][-1]["content"] == "Thirty days."
    (finished,) = [
        one.data
        for one in own
        if one.data.get("event") == "message-finish" and list(one.namespace) == where
    ]
    assert finished["usage"] == {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
    named = [one.data for one in events if one.method == "custom"]
    assert [one["name"] for one in named] == [
        "agent.started",
        "tool.started",
        "tool.finished",
        "tool.refused",
        "model.called",
        "agent.finished",
    ]
    assert all(one["name"] == one["payload"]["type"] for one in named)


def test_an_agent_that_is_still_at_work_goes_on_after_a_pause_and_not_after_the_end() -> None:
    at = {"agent": "coder", "task_id": "1"}
    started = {"type": "agent.started", **at, "instruction": "Add."}
    finished = {"type": "agent.finished", **at, "summary": "Two."}
    failed = {"type": "run.failed", "error": "timeout", "message": "It took too long."}
    paused = {"type": "run.interrupted", "interrupts": []}
    own = [one for one in shown(STARTED, started, paused, graph=TEAM) if one.method != "custom"]
    assert brief(own)[-2:] == [
        ("lifecycle", ["tools:1"], "interrupted"),
        ("lifecycle", [], "interrupted"),
    ]
    own = [one for one in shown(STARTED, finished, graph=TEAM) if one.method != "custom"]
    assert brief(own)[1:] == [
        ("lifecycle", ["tools:1"], "completed"),
        ("tools", [], "tool-finished"),
    ]
    own = [one for one in shown(STARTED, started, failed, graph=TEAM) if one.method != "custom"]
    assert brief(own)[-3:] == [
        ("lifecycle", ["tools:1"], "failed"),
        ("tools", [], "tool-error"),
        ("lifecycle", [], "failed"),
    ]


def test_each_entry_comes_to_the_same_for_every_reader() -> None:
    events = [
        STARTED,
        chunk("values", {"n": 1}),
        chunk("updates", {"look": None, "__interrupt__": [], "write": {"n": 2}}),
        chunk("custom", {"progress": 1}),
        chunk("tools", {"event": "tool-started", "tool_call_id": "c1", "tool_name": "add"}),
        FINISHED,
    ]
    first, second = shown(*events), shown(*events)
    assert first == second
    assert brief(first)[2:4] == [
        ("updates", [], {"node": "look", "values": {}}),
        ("updates", [], {"node": "write", "values": {"n": 2}}),
    ]
    assert brief(first)[4:6] == [
        ("custom", [], {"payload": {"progress": 1}}),
        ("tools", [], "tool-started"),
    ]
    assert json.dumps([one.params(timestamp=1) for one in first])
