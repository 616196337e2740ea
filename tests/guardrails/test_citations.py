"""Citations: each sentence points at the passage that it rests on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guardrails import citations

PLAN = "An annual plan is refunded within 45 days of the payment, a monthly plan within 14 days."
DIEM = "Per diem: Denmark 62 EUR, Austria 44 EUR."
LAPTOP = "A stolen laptop is replaced within 3 working days."
PASSAGES = [PLAN, DIEM, LAPTOP]


def test_each_sentence_gets_the_passage_that_it_shares_most_with() -> None:
    text, used = citations.cite(
        "A laptop is replaced in 3 working days. An annual plan: 45 days.", PASSAGES
    )
    assert text == "A laptop is replaced in 3 working days [1]. An annual plan: 45 days [2]."
    assert used == [2, 0]


def test_a_mark_of_the_models_own_is_kept_and_renumbered() -> None:
    assert citations.cite("Denmark pays 62 EUR [2].", PASSAGES) == ("Denmark pays 62 EUR [1].", [1])


def test_a_mark_that_points_at_the_wrong_passage_is_replaced() -> None:
    text, used = citations.cite("Denmark pays 62 EUR [3].", PASSAGES)
    assert (text, used) == ("Denmark pays 62 EUR [1].", [1])


def test_a_mark_without_a_passage_is_dropped() -> None:
    text, used = citations.cite("Hello there [9].", PASSAGES)
    assert (text, used) == ("Hello there.", [])


def test_talk_about_passages_is_left_out() -> None:
    text, _ = citations.cite("The passage [2] states that Austria pays 44 EUR.", PASSAGES)
    assert text == "Austria pays 44 EUR [1]."

    text, _ = citations.cite("According to [2], Austria pays 44 EUR.", PASSAGES)
    assert text == "Austria pays 44 EUR [1]."
    text, _ = citations.cite("According to the Business plan, Austria pays 44 EUR.", PASSAGES)
    assert text.startswith("According to the Business plan, Austria pays 44 EUR")


def test_a_sentence_that_rests_on_two_passages_names_both() -> None:
    _, used = citations.cite("You wait 3 working days and receive 62 EUR.", PASSAGES)
    assert sorted(used) == [1, 2]


@given(st.text(max_size=300), st.lists(st.text(max_size=100), max_size=5))
def test_marks_in_the_text_are_exactly_the_used_passages(text: str, passages: list[str]) -> None:
    """Whatever a model writes, no mark points at a passage that is not a source."""
    cited, used = citations.cite(text, passages)
    assert set(citations.marks(cited)) == set(range(1, len(used) + 1))
    assert len(set(used)) == len(used)
    assert all(0 <= index < len(passages) for index in used)


@given(
    st.text(alphabet="ab1. `~[]|-\n:", max_size=80),
    st.lists(st.text(alphabet="ab 1", max_size=9), max_size=3),
)
def test_marks_in_markdown_are_exactly_the_used_passages(text: str, passages: list[str]) -> None:
    cited, used = citations.cite(text, passages)
    assert set(citations.marks(cited)) == set(range(1, len(used) + 1))


def test_code_and_tables_keep_their_form() -> None:
    """Indentation is meaning in code, and a mark behind a row's last bar would be a cell more."""
    answer = """Set the port:

```yaml
server:
  port: 8080  # see ports[1]
```

| Plan | Price |
|------|-------|
| Monthly | 12 EUR [2] |

- The first is `ports[1]`, else ports[0]
  - the server port is 8080"""
    text, used = citations.cite(answer, ["The server has port 8080.", "Plan: monthly, 12 EUR."])
    assert (
        text
        == """Set the port: [1]

```yaml
server:
  port: 8080  # see ports[1]
```

| Plan | Price |
|------|-------|
| Monthly | 12 EUR [2] |

- The first is `ports[1]`, else ports[0]
  - the server port is 8080 [1]"""
    )
    assert used == [0, 1]
    assert citations.without_marks("```\na[1]\n```\nIt is `a[2]` [3].") == (
        "```\na[1]\n```\nIt is `a[2]`."
    )


def test_no_mark_stands_behind_an_abbreviation() -> None:
    text, _ = citations.cite("Austria pays 44 EUR (e.g. to guests, see No. 5).", PASSAGES)
    assert text == "Austria pays 44 EUR (e.g. to guests, see No. 5) [1]."


def test_a_block_of_code_alone_is_cited_behind_it() -> None:
    text, used = citations.cite("```\nserver port\n```", ["The server has a port."])
    assert (text, used) == ("```\nserver port\n```\n[1]", [0])
    assert citations.cite("```\nserver port", ["The server has a port."]) == (
        "```\nserver port",
        [],
    )


def test_the_number_of_a_list_item_is_no_claim_of_its_own() -> None:
    passages = ["Open the settings, then press reset.", "There is 1 settings page in 2 colours."]
    text, _ = citations.cite("1. Open the settings.\n2. Press reset.", passages)
    assert text == "1. Open the settings [1].\n2. Press reset [1]."


def test_words_that_only_begin_like_talk_about_passages_stay() -> None:
    passages = ["Passage planning is done before departure; passages of the canal cost 5 EUR."]
    text, _ = citations.cite(
        "Passage planning is done before departure. Passages of the canal cost 5 EUR.", passages
    )
    assert text == (
        "Passage planning is done before departure [1]. Passages of the canal cost 5 EUR [1]."
    )
    text, _ = citations.cite("According to passage 2, the canal costs 5 EUR.", passages)
    assert text == "The canal costs 5 EUR [1]."


def test_a_language_without_spaces_is_cited_sentence_by_sentence() -> None:
    text, used = citations.cite(
        "退款需要十四天。午餐由公司支付。", ["午餐由公司支付,晚餐不支付。", "退款一般需要十四天。"]
    )
    assert (text, used) == ("退款需要十四天 [1]。午餐由公司支付 [2]。", [1, 0])
