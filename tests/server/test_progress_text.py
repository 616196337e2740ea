"""A run's events as lines for people."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import events
from server.wire.printable import LONGEST, short
from server.wire.progress_text import parsed, progress_line

WHO: dict[str, Any] = {"agent": "coder", "task_id": "1"}
CALL: dict[str, Any] = {**WHO, "call_id": "c"}
MODEL: dict[str, Any] = {**WHO, "model": "m", "input_tokens": 1, "output_tokens": 2, "seconds": 3}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (events.RunStarted(run_id="r", thread_id="t"), None),
        (
            events.RunStarted(run_id="r", thread_id="t", attempt=2),
            "starting again (attempt 2)",
        ),
        (events.AgentFinished(**WHO, summary="s", seconds=1.26), "coder: done, 1.3 s"),
        (events.ModelCalled(**MODEL, cost=0), "coder: m, 1 tokens in, 2 out, 3.0 s"),
        (
            events.ModelCalled(**MODEL, cost=0.00123, ok=False),
            "coder: m, 1 tokens in, 2 out, $0.0012, 3.0 s, failed",
        ),
        (
            events.ToolStarted(**CALL, tool="run_python", args={"code": "a = 1\nprint(a)\n"}),
            "coder: running Python, 2 lines",
        ),
        (
            events.ToolStarted(**CALL, tool="read_file", args={"path": "a b"}),
            'coder: read_file {"path": "a b"}',
        ),
        (
            events.ToolFinished(**CALL, tool="run_python", ok=False, summary="boom", seconds=0),
            "coder: run_python failed: boom, 0.0 s",
        ),
        (
            events.Verdict(supported=False, problems=["no 30", "no 40"]),
            "critic: not supported: no 30; no 40",
        ),
        (
            events.LimitReached(limit="max_tokens", used=200_123, maximum=200_000),
            "limit reached: max_tokens, 200,123 of 200,000",
        ),
        (
            events.QuestionUnderstood(message="And now?", question="What now?", calls=1),
            "understood as: What now?",
        ),
        (
            events.QuestionUnderstood(message="a and b", question="a and b", parts=["a?", "b?"]),
            "looking up: a?; b?",
        ),
        (events.RetrievalQuery(**WHO, query="q", reason="question", hits=5), None),
        (
            events.RetrievalQuery(**WHO, query="q", reason="thin", hits=5),
            "coder: searched in other words: 5 passages",
        ),
        (
            events.RetrievalQuery(**WHO, query="q", filters={"year": 2023}, hits=2),
            "coder: 2 passages within year: 2023",
        ),
        (
            events.RetrievalQuery(**WHO, query="q", filters={"a": 1}, relaxed=True, hits=3),
            "coder: nothing within the filters; 3 passages without them",
        ),
        (
            events.DocumentRead(
                **WHO, document_id="d", title="Report", read=4, passages=40, groups=2
            ),
            "coder: Report: 4 of 40 passages read",
        ),
        (events.RunInterrupted(), "the run waits for an answer"),
        (events.GraphChunk(mode="updates", data={"node": {}}), None),
        (events.ModelDelta(agent="coder", task_id="1", message_id="m", text="a"), None),
        (events.RunFailed(error="x", message="y"), None),
    ],
)
def test_each_event_has_its_line(event: events.RunEvent, line: str | None) -> None:
    assert progress_line(event) == line


@given(text=st.text(max_size=400), event=st.sampled_from(["agent", "tool", "verdict"]))
def test_a_line_is_one_printable_line_whatever_a_model_wrote(text: str, event: str) -> None:
    told: dict[str, events.RunEvent] = {
        "agent": events.AgentStarted(agent="coder", task_id="1", instruction=text),
        "tool": events.ToolStarted(**CALL, tool="search_documents", args={"query": text}),
        "verdict": events.Verdict(supported=False, problems=[text]),
    }
    line = progress_line(told[event])
    assert line is not None
    assert len(line.splitlines()) == 1
    assert "\x1b" not in line
    assert len(line) < LONGEST + 60


@given(text=st.text(max_size=400), longest=st.integers(2, 200))
def test_short_text_is_never_longer_than_asked(text: str, longest: int) -> None:
    assert len(short(text, longest=longest)) <= longest


def test_an_event_of_a_later_version_is_no_news() -> None:
    assert parsed({"type": "agent.sang", "song": "x"}) is None
