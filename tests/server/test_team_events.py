"""The team's events leave without secrets, however little each is looked at."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from graphs import events
from guardrails.redaction import SECRET, Redactor
from server import team

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
    st.builds(events.GraphChunk, mode=st.just("values"), data=VALUES),
    st.builds(
        events.ModelDelta, agent=TEXTS, task_id=TEXTS, message_id=TEXTS, text=TEXTS, reasoning=TEXTS
    ),
)


@given(told=st.lists(EVENTS, max_size=6))
def test_each_leaves_as_it_would_looked_at_text_by_text(told: list[Any]) -> None:
    seen: list[events.RunEvent] = []
    tell = team._without_secrets(seen.append, Redactor(kinds=SECRET))
    slowly = Redactor(kinds=SECRET)
    for event in told:
        tell(event)
        stored = event.model_dump(mode="json")
        if isinstance(event, events.ModelDelta):
            parts = {name: slowly.redact(stored[name]) for name in ("text", "reasoning")}
            expected = {**stored, **parts}
        else:
            expected = slowly.redact_all(stored)
        assert seen[-1].model_dump(mode="json") == expected


def test_no_secret_leaves_in_any_part_of_an_event() -> None:
    seen: list[events.RunEvent] = []
    tell = team._without_secrets(seen.append, Redactor(kinds=SECRET))
    where: dict[str, Any] = {"agent": "coder", "task_id": "1", "call_id": "2", "tool": "run_python"}
    tell(events.ToolStarted(**where, args={"code": ["x", {"key": KEY}], KEY: 1}))
    tell(events.ToolFinished(**where, ok=True, summary=f"printed {KEY}", seconds=1.0))
    tell(events.Verdict(supported=False, problems=["none", f"states {KEY}"]))
    assert len(seen) == 3
    assert all(KEY not in event.model_dump_json() for event in seen)
