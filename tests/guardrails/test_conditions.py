"""Conditions as people write them, judged over arguments that may be anything."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import conditions, truth
from guardrails.truth import Truth
from tests.guardrails.test_arguments import ARGS

YES, NO, UNKNOWN = Truth.YES, Truth.NO, Truth.UNKNOWN


def judge(text: str, args: dict[str, Any]) -> Truth:
    return conditions.judge(conditions.parse(text), args)


@pytest.mark.parametrize(
    ("text", "args", "found"),
    [
        ("amount > 100", {"amount": 100.5}, YES),
        ("amount > 100", {"amount": 100}, NO),
        ("amount>=100", {"amount": 100}, YES),
        ("amount < -1.5e2", {"amount": -151}, YES),
        ("amount <= 100", {"amount": 10**30}, NO),
        ("amount > 100", {}, UNKNOWN),
        ("amount > 100", {"amount": "150"}, UNKNOWN),
        ("amount > 0", {"amount": True}, UNKNOWN),
        ("amount > 0", {"amount": None}, UNKNOWN),
        ("amount > 0", {"amount": float("nan")}, UNKNOWN),
        ("amount < 5", {"amount": float("-inf")}, UNKNOWN),
        ("order.amount > 1", {"order": {"amount": 2}}, YES),
        ("order.amount > 1", {"order": 2}, UNKNOWN),
        ("order.amount > 1", {"order.amount": 2}, UNKNOWN),
        ("lines.amount < 9", {"lines": [{"amount": 1}, {"amount": 2}]}, YES),
        ("lines.amount < 9", {"lines": [{"amount": 1}, {"amount": 20}]}, UNKNOWN),
        ("lines.amount < 9", {"lines": [{"amount": 1}, {}]}, UNKNOWN),
        ("lines.amount < 9", {"lines": []}, UNKNOWN),
        ("currency == EUR", {"currency": "EUR"}, YES),
        ("currency == EUR", {"currency": "eur"}, NO),
        ("currency != EUR", {"currency": "USD"}, YES),
        ("currency != EUR", {"currency": 5}, UNKNOWN),
        ('n == "5"', {"n": "5"}, YES),
        ("n == 5", {"n": "5"}, UNKNOWN),
        ("n == 5", {"n": 5.0}, YES),
        ("n == true", {"n": True}, YES),
        ("n == 1", {"n": True}, UNKNOWN),
        ("n == null", {"n": None}, YES),
        ("n == null", {"n": 0}, NO),
        ("n == null", {}, UNKNOWN),
        ("n != null", {"n": 0}, YES),
        ("note == 'two words'", {"note": "two words"}, YES),
        ("c one of EUR, USD, 5", {"c": "USD"}, YES),
        ("c one of EUR, USD, 5", {"c": 5}, YES),
        ("c one of EUR, USD", {"c": "GBP"}, NO),
        ("c not one of EUR, USD", {"c": "GBP"}, YES),
        ("c not one of EUR, USD", {"c": 1}, UNKNOWN),
        ("name matches report-*.pdf", {"name": "report-1.pdf"}, YES),
        ("name matches report-*", {"name": "Report-1"}, NO),
        ("name not matches report-*", {"name": "x"}, YES),
        ("name matches *", {"name": 5}, UNKNOWN),
        ("name not matches x", {}, UNKNOWN),
    ],
)
def test_a_condition_says_yes_or_no_or_that_it_cannot_tell(
    text: str, args: dict[str, Any], found: Truth
) -> None:
    assert judge(text, args) is found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/srv/data", YES),
        ("/srv/data/", YES),
        ("/srv/data/a/b", YES),
        ("//srv//data/./a", YES),
        ("/srv/data/a/../b", YES),
        ("/srv/other/../data/a", YES),
        ("/srv/data/..", NO),
        ("/srv/data/../etc/passwd", NO),
        ("/srv/data/../../../../etc", NO),
        ("/srv/database", NO),
        ("/", NO),
        ("/SRV/data/a", NO),
        ("srv/data/a", UNKNOWN),
        ("./a", UNKNOWN),
        ("~/a", UNKNOWN),
        ("", UNKNOWN),
        ("/srv/data/\x00/etc", UNKNOWN),
        ("/srv/data\\..\\etc", UNKNOWN),
        ("file:///srv/data/a", UNKNOWN),
        (5, UNKNOWN),
        (["/srv/data/a", "/srv/data/b"], YES),
        (["/srv/data/a", "/etc/passwd"], UNKNOWN),
    ],
)
def test_a_path_is_under_a_folder_by_its_text_alone(path: Any, found: Truth) -> None:
    assert judge("path under /srv/data", {"path": path}) is found
    assert judge("path not under /srv/data/", {"path": path}) is truth.negated(found)


@pytest.mark.parametrize(
    ("args", "found"),
    [
        ({"host": "a.com"}, YES),
        ({"host": "x.b.com"}, YES),
        ({"host": "b.com"}, NO),
        ({"url": "https://A.com./x"}, YES),
        ({"url": "https://a.com@evil.com"}, NO),
        ({"url": "https://evil.com/a.com"}, NO),
        ({"host": "a.com", "url": "https://evil.com"}, UNKNOWN),
        ({"uri": "nothing"}, NO),
        ({"url": "http://a.com\\.evil.com"}, UNKNOWN),
        ({"url": 5}, UNKNOWN),
        ({}, UNKNOWN),
    ],
)
def test_the_host_is_read_wherever_a_call_has_an_address(
    args: dict[str, Any], found: Truth
) -> None:
    assert judge("host in a.com, *.b.com", args) is found


def test_another_field_is_read_alone() -> None:
    assert judge("target in a.com", {"target": "https://a.com", "url": "https://evil.com"}) is YES


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("amount", "is no condition"),
        ("> 5", "is no condition"),
        ("amount >", "is no condition"),
        ("amount ~ 5", "is no condition"),
        ("amount = 5", "write =="),
        ("amount > x", "needs a number"),
        ("amount > true", "needs a number"),
        ("amount > NaN", "needs a number"),
        ("amount == 1e999", "beyond all numbers"),
        ("amount == 1_000", "is no number, nor a word"),
        ("amount == two words", "is no number, nor a word"),
        ("amount == [1]", "compare with one"),
        ("path under data", "as an absolute path"),
        ("path under /a/../b", "as an absolute path"),
        ("host in a b", "is no host"),
        ("currency in EUR,", "for values write `currency one of"),
        ("amount > 5 and x < 3", "is no number, nor a word"),
    ],
)
def test_what_nobody_can_judge_is_refused_with_the_remedy(text: str, said: str) -> None:
    with pytest.raises(conditions.ConditionError, match=said):
        conditions.parse(text)


ALL = [
    "a > 0",
    "a.b <= 1",
    "a == x",
    "a != null",
    "a under /a",
    "a not in a.com",
    "host in a.com",
    "a one of 1, x",
    "a not matches *x*",
]


@given(st.sampled_from(ALL), ARGS, st.sampled_from(["a", "host", "url"]), ARGS)
def test_any_arguments_are_judged_and_told_in_words(
    text: str, args: dict[str, Any], name: str, more: dict[str, Any]
) -> None:
    condition = conditions.parse(text)
    given_args = {**args, name: more.get("", more)}
    assert conditions.judge(condition, given_args) in Truth
    assert conditions.why(condition, given_args).startswith(condition.field)


@given(st.sampled_from([text for text in ALL if text.startswith("a")]), ARGS)
def test_without_its_field_nothing_can_be_told(text: str, args: dict[str, Any]) -> None:
    args.pop("a", None)
    assert judge(text, args) is UNKNOWN
