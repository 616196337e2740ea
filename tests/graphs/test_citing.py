"""What an answer rests on: cited as data, and checked where it is cited from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from graphs import answers, events
from models.scripted import Scripted, ScriptedModel
from server.wire import chat
from tests.graphs.team_house import PLAN_RESEARCH, REFUND, SUPPORTED, House, passage

PLANS = (
    "Money back:\n- **Monthly plan.** Refunded within 14 days.\n"
    "- **Annual plan.** Refunded within 45 days."
)
MONTHLY = "How long can I return a monthly plan?"


def planned() -> Scripted:
    return Scripted(agent="coordinator", answer=PLAN_RESEARCH)


async def test_an_answer_carries_its_citations_as_data() -> None:
    other = "Tablets are lent out. Everybody gets one."
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", answer="An annual plan: within 45 days [2]."),
            Scripted(agent="critic", answer=SUPPORTED),
        ]
    ) as model:
        long = f"Plans are for everybody. {REFUND} Ask support."
        found = [passage(other, chunk_id="tablet"), passage(long, chunk_id="refund")]
        outcome = await House(model, found={"": found}).answered("How long can I return a plan?")
    assert [one.scores and one.scores.dense for one in outcome.sources] == [0.5]
    (cited,) = outcome.citations
    assert outcome.answer[cited.start : cited.end] == "An annual plan: within 45 days [1]."
    assert (cited.chunk_id, cited.text) == ("refund", REFUND)
    assert cited.span is not None
    assert long[slice(*cited.span)] == REFUND
    body = chat.Completion(run_id="r", thread_id="t", model="team", created=1).body(outcome)
    (note,) = body["choices"][0]["message"]["annotations"]
    assert note["url_citation"]["url"].endswith(f"#char={cited.span[0]},{cited.span[1]}")
    assert body["counterpoint"]["citations"][0]["text"] == REFUND


async def test_an_answer_from_the_line_beside_goes_back_with_the_right_one_named() -> None:
    """45 days stand in the passage, so counting numbers alone does not notice."""
    with ScriptedModel(
        steps=[
            planned(),
            Scripted(agent="researcher", answer="Within 45 days [1]."),
            Scripted(agent="researcher", contains="“Monthly plan”", answer="Within 14 days [1]."),
        ],
        plain=True,
    ) as model:
        house = House(model, found={"": [passage(PLANS, chunk_id="plans")]})
        outcome = await house.answered(MONTHLY)
    assert outcome.answer == "Within 14 days [1]."
    assert outcome.citations[0].text == "- **Monthly plan.** Refunded within 14 days."


async def test_a_claim_that_stays_on_the_wrong_line_goes_out() -> None:
    with ScriptedModel(
        steps=[planned(), *[Scripted(agent="researcher", answer="Within 45 days [1].")] * 2],
        plain=True,
    ) as model:
        house = House(model, found={"": [passage(PLANS, chunk_id="plans")]})
        outcome = await house.answered(MONTHLY)
    assert outcome.stop_reason == "not_found"
    assert outcome.citations == []
    assert outcome.unsupported_share == 1.0


@given(
    st.lists(st.text(alphabet="abc 15.\n", min_size=1, max_size=60), min_size=1, max_size=3),
    st.text(alphabet="abc 15.[123]\n", max_size=120),
)
def test_every_citation_resolves_to_a_source_and_a_place_in_it(
    texts: list[str], answer: str
) -> None:
    sources = [
        events.Source(
            number=number,
            document_id=f"d{number}",
            chunk_id=f"c{number}",
            title="T",
            source="t.md",
            span=(100, 100 + len(text)),
            text=text,
        )
        for number, text in enumerate(texts, 1)
    ]
    for one in answers.citations_of(answer, sources):
        text = texts[one.number - 1]
        assert one.text in text
        assert one.span is not None
        start, end = one.span[0] - 100, one.span[1] - 100
        assert text[start:end] == one.text
        assert f"[{one.number}" in answer[one.start : one.end] or "," in answer
