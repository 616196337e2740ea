"""Events of a run as spans: searches with their stages, refusals, and what did not end."""

from __future__ import annotations

from typing import Any

from graphs import events
from graphs.scoped_saver import Saved
from server.runs.record import RunRecord
from server.telemetry import names
from server.telemetry.content import Content, Writer
from server.telemetry.hearing import Left
from server.telemetry.segment import MOST, Segment
from server.telemetry.span import Span

BY: dict[str, Any] = {"agent": "researcher", "task_id": "1"}


def segment(*, content: Content = Content.OFF) -> Segment:
    record = RunRecord(run_id="r", thread_id="t", token=1)
    made = Segment(record, at=100.0, tools=["search_documents"], content=Writer(content))
    made.hear(events.RunStarted(run_id="r", thread_id="t"), at=100.0)
    return made


def called(**more: Any) -> events.ModelCalled:
    given = {"model": "m", "input_tokens": 5, "output_tokens": 2, "cost": 0.1, "seconds": 1.0}
    return events.ModelCalled(**{**BY, **given, **more})


def parents(spans: list[Span], root: Span) -> dict[str, str]:
    """Each span's name with that of what it is part of."""
    known = {one.span_id: one.name for one in [*spans, root]}
    return {one.name: known.get(one.parent, "") for one in spans}


def test_attempts_of_one_step_stand_in_it_and_a_search_has_its_stages() -> None:
    made = segment()
    made.hear(events.AgentStarted(**BY, instruction="secret words"), at=101.0)
    made.hear(called(step=1, ok=False, error="ModelTimeout"), at=103.0)
    made.hear(called(step=1, attempt=2, finish_reason="tool_calls"), at=105.0)
    tool: dict[str, Any] = {**BY, "call_id": "c", "tool": "search_documents"}
    made.hear(events.ToolStarted(**tool, args={"query": "secret"}, rule="reads"), at=106.0)
    stages = [
        events.Stage(name="embedding", ms=20.0),
        events.Stage(name="lookup", ms=30.0, candidates=9),
        events.Stage(name="rerank", ms=0.0, skipped="secret trouble"),
    ]
    query = events.RetrievalQuery(**BY, query="secret", hits=3, call_id="c", stages=stages)
    made.hear(query, at=107.0)
    made.hear(events.ToolFinished(**tool, ok=True, summary="secret", seconds=1.0), at=107.5)
    made.hear(called(step=2), at=109.0)
    made.hear(events.AgentFinished(**BY, summary="secret", seconds=8.0), at=109.0)
    spans = made.ended()
    assert parents(spans, made.root) == {
        "chat m": "step 2",
        "step 1": "invoke_agent researcher",
        "step 2": "invoke_agent researcher",
        "execute_tool search_documents": "step 1",
        "retrieval": "execute_tool search_documents",
        "retrieval embedding": "retrieval",
        "retrieval lookup": "retrieval",
        "retrieval rerank": "retrieval",
        "invoke_agent researcher": "invoke_agent team",
    }
    chats = [one for one in spans if one.name == "chat m"]
    assert [(one.error, one.attributes[names.ATTEMPT]) for one in chats] == [
        ("ModelTimeout", 1),
        ("", 2),
        ("", 1),
    ]
    assert [one.start for one in chats] == [102.0, 104.0, 108.0]
    by_name = {one.name: one for one in spans}
    assert by_name["step 1"].start == 102.0
    assert by_name["step 1"].end == 107.5
    lookup = by_name["retrieval lookup"]
    assert round((lookup.end or 0) - lookup.start, 3) == 0.03
    assert lookup.attributes == {names.CANDIDATES: 9}
    assert by_name["retrieval rerank"].attributes[names.SKIPPED] is True
    assert by_name["execute_tool search_documents"].attributes[names.RULE] == "reads"
    assert "secret" not in str([one.to_json() for one in spans])


def test_a_tools_name_that_a_model_made_up_is_told_nowhere() -> None:
    made = segment()
    made.hear(
        events.ToolRefused(**BY, call_id="a b", tool="tell the password", reason="no such tool"),
        at=101.0,
    )
    [refused] = made.ended()
    assert refused.name == "guardrail policy"
    assert refused.attributes == {names.VERDICT: "refused", names.TOOL: "unknown"}


def test_guardrails_and_checkpoints_are_spans() -> None:
    made = segment()
    heard: list[Any] = [
        events.DocumentSuspicious(**BY, tool="search_documents", source="s", signs=["override"]),
        events.LoopNoticed(**BY, reason="again", stopped=True),
        events.LimitNear(limit="tokens", used=8, maximum=10),
        events.LimitReached(limit="tokens", used=10, maximum=10),
        events.Verdict(supported=False, unsupported_share=0.5, problems=["p"]),
        Saved(checkpoint_id="c", step=3, seconds=0.5),
    ]
    for event in heard:
        made.hear(event, at=101.0)
    told = [(one.name, one.attributes.get(names.VERDICT)) for one in made.ended()]
    assert told == [
        ("guardrail injection", "flagged"),
        ("guardrail loop", "stopped"),
        ("guardrail limit", "warned"),
        ("guardrail limit", "stopped"),
        ("guardrail critic", "failed"),
        ("checkpoint", None),
    ]


def test_what_a_worker_let_go_of_ends_with_an_error_and_nothing_follows() -> None:
    made = segment()
    made.hear(events.AgentStarted(**BY, instruction="i"), at=101.0)
    made.hear(events.ToolStarted(**BY, call_id="c", tool="search_documents", args={}), at=102.0)
    assert [one.name for one in made.open()] == [
        "invoke_agent team",
        "invoke_agent researcher",
        "execute_tool search_documents",
    ]
    made.hear(Left(ended=False, lost=True), at=103.0)
    assert {one.name: one.error for one in made.ended()} == {
        "execute_tool search_documents": "lost",
        "invoke_agent researcher": "",
        "invoke_agent team": "lost",
    }
    assert made.open() == []
    assert not made.hear(called(), at=104.0)


def test_pieces_of_text_leave_nothing_and_too_many_spans_are_counted() -> None:
    made = segment()
    piece = events.ModelDelta(**BY, message_id="m", text="x")
    assert not made.hear(piece, at=101.0)
    for _ in range(MOST + 5):
        made.hear(Saved(checkpoint_id="c", step=3, seconds=0.0), at=101.0)
    made.hear(events.RunFailed(error="internal", message="m"), at=102.0)
    spans = made.ended()
    assert len(spans) == MOST + 1
    assert (spans[-1].name, spans[-1].error) == ("invoke_agent team", "internal")
    assert made.take_dropped() == 5
