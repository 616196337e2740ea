"""What is passed over after one look at many texts would have stayed, each looked at by itself."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from guardrails.redaction import SECRET, Finder, Found, Kind, Redactor
from tests.guardrails.test_redaction import PERSONAL, SECRETS

KINDS = [frozenset(Kind), SECRET, frozenset({Kind.EMAIL, Kind.PHONE}), frozenset[Kind]()]
NEAR = [
    *("password=abc123de", "https://u:p4ss@h/", "Bearer ", "token", "AccountKey=" + "a1B2" * 8),
    *("[key 3]", "[email 12]", "[", "basic ", "authorization: basic dXNlcjpw", "aws_secret="),
    *(
        "\n",
        " ",
        "=",
        ":",
        "0",
        "12",
        "-",
        "+",
        "(",
        ")",
        "@",
        "a.de",
        "é",
        "İ",
        "x",
        "_",
        ".",
        ",",
    ),
]
FRAGMENTS = st.sampled_from([*SECRETS, *PERSONAL, *NEAR])
# Cut anywhere, so that what is nearly one and what only two texts together would be occur too.
PIECES = st.builds(
    lambda text, start, end: text[start : start + end],
    FRAGMENTS,
    st.integers(0, 4),
    st.sampled_from([3, 9, 60, 999]),
)
TEXTS = st.lists(
    st.one_of(st.lists(PIECES, max_size=4).map("".join), st.text(max_size=12)), max_size=5
)


@given(texts=TEXTS, kinds=st.sampled_from(KINDS))
@example(texts=["030", "1234 5678"], kinds=frozenset(Kind))
@example(texts=["password=", "abc123def"], kinds=SECRET)
def test_what_is_passed_over_would_have_stayed(texts: list[str], kinds: frozenset[Kind]) -> None:
    redactor, one_by_one = Redactor(kinds=kinds), Redactor(kinds=kinds)
    passed_over = redactor.leaves(texts)
    redacted = [one_by_one.redact(text) for text in texts]
    if passed_over:
        assert redacted == texts
        # And nothing was to be noted of them: the next placeholders are the same.
        told = "ann@mail.example.org " + "ghp_" + "a1B2" * 9
        assert redactor.redact(told) == one_by_one.redact(told)


@pytest.mark.parametrize("value", [*SECRETS, *PERSONAL])
def test_nothing_with_a_known_shape_is_passed_over(value: str) -> None:
    for texts in ([value], ["a", value, "b"], [f"x ({value}) y", "z"], ["1", value]):
        assert not Redactor().leaves(texts)


def test_most_texts_are_passed_over() -> None:
    texts = ["Paid yearly, a plan can be cancelled within 30 days.", "call_9f", "model.called"]
    assert Redactor(kinds=SECRET).leaves(texts)
    assert Redactor().leaves(texts)


def test_a_placeholder_is_looked_at_even_where_nothing_else_is_there() -> None:
    redactor = Redactor()
    assert not redactor.leaves(["so says [email 1]"])
    redactor.redact("so says [email 1]")
    assert redactor.redact("ann@mail.example.org") == "[email 2]"


def test_another_finder_sees_every_text() -> None:
    def anything(text: str, /) -> list[Found]:
        return [Found(kind=Kind.PERSON, start=0, end=len(text))]

    finder: Finder = anything
    assert not Redactor(finder=finder).leaves(["Ann"])
