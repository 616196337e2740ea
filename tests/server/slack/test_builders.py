"""Whatever is asked, answered or typed: what is sent is within Slack's limits, and calls nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guardrails.arguments import ArgumentsError, digest
from guardrails.policy import Choice, OnExpiry, Terms
from server.approvals.record import Approval, ApprovalStatus, Decided, Kind
from server.slack import answers, cards, filling, forms, home, modals, text
from server.slack.cards import Reference
from server.slack.modals import Opened
from tests import examples
from tests.server.slack import block_kit, scenes
from tests.server.slack.block_kit import BrokenError
from tests.server.slack.office import untouched

HOSTILE = [
    "<!channel>",
    "<@U012AB>",
    "<#C012|general>",
    "<https://evil.example|the handbook>",
    "https://evil.example",
    "&lt;!here&gt;",
    "```\nout of the frame\n```",
    "*_~`>",
    "\u202eesrever",
    "\u200b",
    "&" * 200,
    "<" * 4_000,
    "x" * 9_000,
    "\ud800",
    "\x00",
    "",
    " ",
    "\n\n",
    "“smart”",
]
WORDS = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60), st.text("<&*`", max_size=400))
VALUES: st.SearchStrategy[Any] = st.one_of(
    WORDS,
    st.sampled_from(
        [0, -1, 2**70, True, False, None, 0.1, 1e300, -0.0, [], {}, ["<!here>", None], {"": [{}]}]
    ),
)
ARGS = st.dictionaries(WORDS, VALUES, max_size=4)
PLAIN_SCHEMAS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(
        [
            {},
            True,
            {"type": "string"},
            {"type": "string", "maxLength": 3},
            {"type": "string", "maxLength": 50_000},
            {"type": "number", "minimum": 1, "exclusiveMaximum": 5},
            {"type": "integer"},
            {"type": "boolean"},
            {"type": ["string", "null"]},
            {"type": ["string", "integer"]},
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            {"oneOf": [{"type": "integer"}, {"type": "string"}]},
            {"allOf": [{"$ref": "#/$defs/Colour"}]},
            {"$ref": "#/$defs/Colour"},
            {"$ref": "#/$defs/None"},
            {"$ref": "https://evil.example/schema"},
            {"$ref": "#"},
            {"enum": list(range(200))},
            {"enum": []},
            {"enum": [1, True, "1", None, {"a": 1}]},
            {"const": "x" * 500},
            {"type": "array", "items": {"type": "string"}},
            {"type": "object"},
        ]
    ),
    st.builds(lambda words: {"type": "string", "description": words}, WORDS),
    st.builds(lambda words: {"enum": words}, st.lists(WORDS, min_size=1, max_size=5)),
)
SCHEMAS = st.one_of(
    st.none(),
    st.builds(
        lambda properties, required: {
            "type": "object",
            "properties": properties,
            "required": required,
            "$defs": {"Colour": {"enum": ["red", "blue"]}},
        },
        st.dictionaries(WORDS, PLAIN_SCHEMAS, max_size=4),
        st.lists(WORDS, max_size=3),
    ),
)
TERMS = st.builds(
    Terms,
    quorum=st.integers(1, 3),
    self_approval=st.booleans(),
    critical=st.booleans(),
    on_expiry=st.sampled_from(OnExpiry),
    choices=st.frozensets(st.sampled_from(Choice), min_size=1),
    roles=st.frozensets(WORDS, min_size=1, max_size=3),
)
DECIDED = st.builds(
    Decided,
    decider=WORDS,
    choice=st.sampled_from(Choice),
    at=st.just(scenes.NOW),
    via=st.sampled_from(["slack", "console", "cli", "api", "<!here>"]),
    message=st.none() | WORDS,
)


@st.composite
def approvals(draw: st.DrawFn) -> Approval:
    args = draw(ARGS)
    schema = draw(SCHEMAS)
    for name in (schema or {}).get("properties", {}):
        if draw(st.booleans()):
            args[name] = draw(VALUES)
    try:
        sha = digest("t", args)
    except ArgumentsError:
        sha = "0" * 64
    decisions = tuple(draw(st.lists(DECIDED, max_size=2)) * draw(st.sampled_from([1, 8])))
    return scenes.asked(
        tool=draw(WORDS),
        args=args,
        args_sha256=sha,
        schema=schema,
        agent=draw(WORDS),
        requested_by=draw(WORDS),
        rule=draw(WORDS),
        reason=draw(WORDS),
        description=draw(WORDS),
        kind=draw(st.sampled_from(Kind)),
        terms=draw(TERMS),
        context=draw(
            st.fixed_dictionaries({"question": VALUES, "evidence": VALUES, "usage": VALUES})
        ),
        status=draw(st.sampled_from(ApprovalStatus)),
        decisions=decisions,
        edited_args=draw(st.none() | ARGS),
        ended_because=draw(WORDS),
        decided_at=draw(st.none() | st.just(scenes.NOW)),
    )


slow = settings(
    max_examples=examples.times(30),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@slow
@given(one=approvals())
def test_a_card_and_its_dialogs_are_within_the_limits_whatever_is_asked(one: Approval) -> None:
    block_kit.message(cards.card(one))
    opened = Opened(reference=Reference.of(one), channel="C1", ts="1.2", thread_ts="1.1")
    for view in (
        modals.edit(one, opened),
        modals.reject(one, opened),
        modals.respond(one, opened),
        modals.whole(one),
        modals.notice(one.tool, one.reason),
    ):
        block_kit.view(view)
    shown = [home.Waiting(approval=one, choices=tuple(one.terms.choices))]
    block_kit.view(
        home.view(
            replace(
                scenes.HOME,
                name=one.agent,
                waiting=shown,
                waiting_total=5,
                asked=[one],
                running=[home.Running(run_id=one.run_id, status="running", question=one.tool)],
            )
        )
    )


@slow
@given(one=approvals())
def test_a_form_that_nobody_touched_gives_back_exactly_what_it_showed(one: Approval) -> None:
    shown = forms.fields(one.schema, one.final_args)
    blocks = forms.form(shown, one.final_args)
    missing = [f for f in shown if f.required and f.value is forms.MISSING]
    found = filling.filled(shown, untouched(blocks), args=one.final_args)
    if missing:
        assert set(found.errors) == {field.block_id for field in missing}
    else:
        assert not found.errors
        assert found.args == dict(one.final_args)


@slow
@given(
    words=WORDS,
    sources=st.lists(
        st.dictionaries(
            st.sampled_from(["title", "source", "page", "heading", "number", "document_id"]), VALUES
        ),
        max_size=15,
    ),
)
def test_what_stands_under_an_answer_is_within_the_limits(words: str, sources: list[Any]) -> None:
    under = answers.under_answer(words[:200], sources, stopped=words)
    block_kit.message({"text": "x", "blocks": under})
    block_kit.message(answers.working(words[:200] or "r", [words] * 20))
    block_kit.message(answers.how_to_get_in(user=words, team=words, help_words=words))


def test_the_home_tab_of_a_busy_day_is_within_the_limits() -> None:
    many = [replace(scenes.LONG, approval_id=f"a{at}") for at in range(60)]
    runs = [home.Running(run_id=f"r{at}", status="running", question="x" * 500) for at in range(60)]
    shown = replace(
        scenes.HOME,
        waiting=[home.Waiting(approval=one, choices=tuple(Choice)) for one in many],
        waiting_total=900,
        asked=many,
        running=runs,
    )
    view = home.view(shown)
    block_kit.view(view)
    assert "888 more" in str(view)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "a:b",
        f"a:{'g' * 64}",
        f"a b:{'0' * 64}",
        f"{'a' * 65}:{'0' * 64}",
        f"a:{'0' * 64}\n",
        f"a:{'0' * 65}",
    ],
)
def test_a_button_that_is_not_ours_refers_to_nothing(value: str) -> None:
    assert Reference.read(value) is None


@pytest.mark.parametrize("value", ["", "{}", "[]", "1", '"x"', '{"a": 1}', "{", "[" * 100_000])
def test_a_dialog_that_is_not_ours_refers_to_nothing(value: str) -> None:
    assert Opened.read(value) is None


def test_a_dialog_comes_back_with_what_it_was_opened_for() -> None:
    assert Opened.read(str(scenes.OPENED)) == scenes.OPENED


@given(words=st.text("<&>;!@a", max_size=80), most=st.integers(5, 60))
def test_escaped_text_is_never_cut_within_an_entity(words: str, most: int) -> None:
    shown = text.escaped(words, most)
    assert len(shown) <= most
    rest = shown.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
    assert not {"<", ">", "&"} & set(rest)


def test_a_models_markdown_calls_nobody() -> None:
    said = text.disarmed("Hello <!channel> and <@U1> in `<#C1>`: 1 < 2, <https://a.example>")
    assert "<!" not in said
    assert "<@" not in said
    assert "<#" not in said
    assert "1 < 2, <https://a.example>" in said


def test_code_is_copied_from_slack_as_it_was_written() -> None:
    page = "```html\n<!DOCTYPE html>\n<!-- <b>here</b> -->\n<@macro x>\n```"
    assert text.disarmed(page) == page


def test_the_whole_of_long_arguments_can_be_looked_at() -> None:
    assert cards.is_cut(scenes.LONG)
    assert "Show all arguments" in str(cards.card(scenes.LONG))
    assert "".join(cards.whole(scenes.LONG)).endswith(str(scenes.LONG.args["text"]))
    assert not cards.is_cut(scenes.asked())


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("max_tokens", "Cut short: max_tokens is reached"),
        ("loop", "in circles"),
        ("not_found", ""),
        ("answered", ""),
        ("<!channel>", ""),
    ],
)
def test_only_a_limit_is_said_to_have_cut_an_answer_short(reason: str, words: str) -> None:
    shown = str(answers.under_answer("r", [], stopped=reason))
    assert ("Cut short" in shown) is bool(words)
    assert words in shown


def test_no_value_can_look_like_another_argument() -> None:
    one = scenes.asked(args={"note": "fine\namount: 1", "amount": 900, "x\ny": "120"})
    shown = str(cards.card(one)["blocks"][2]["elements"][0]["elements"][0]["text"])
    assert shown.splitlines() == ["note: fine", "    amount: 1", "amount: 900", 'xU+000Ay: "120"']


def test_an_overdue_approval_has_no_time_left() -> None:
    assert text.left(-5) == "less than a minute"
    assert text.left(timedelta(days=2, hours=3).total_seconds()) == "2 d 3 h"
    assert text.left(3700) == "1 h 2 min"


@pytest.mark.parametrize(
    "broken",
    [
        {"type": "section", "text": {"type": "mrkdwn", "text": "<!channel>", "verbatim": True}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "see https://x.example"}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3_001, "verbatim": True}},
        {"type": "header", "text": {"type": "plain_text", "text": ""}},
        {"type": "section"},
        {"type": "actions", "elements": []},
        {"type": "unknown"},
    ],
)
def test_the_double_of_the_limits_refuses_what_slack_would(broken: dict[str, Any]) -> None:
    with pytest.raises(BrokenError):
        block_kit.message({"text": "x", "blocks": [broken]})
