"""What can be understood of a question without asking a model."""

from __future__ import annotations

from typing import Any

import pytest

from graphs import events, understanding
from graphs.keys import DEFAULT_TENANT
from models.embedder import HashedEmbedder
from models.errors import MalformedStep
from models.scripted import Scripted, ScriptedModel
from server.runs.asked import DEFAULT_COLLECTION
from tests.graphs.team_house import PLAN_RESEARCH, SUPPORTED, House, passage
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.server_store import MEMORY, ServerStore
from tools.search_documents import search_documents

QUESTION = "How long can I return an annual plan?"


@pytest.mark.parametrize(
    "message",
    [
        "Where can I park my bike?",
        "What does lunch cost for visitors?",
        "How many seats has meeting room Elm?",
        "Thank you!",
        "Thanks a lot, bye",
        "Good morning everybody!"[:12] + "!",
        "Explain the travel rules for Austria.",
    ],
)
def test_a_whole_question_or_thanks_stands_alone(message: str) -> None:
    assert understanding.stands_alone(message)


@pytest.mark.parametrize(
    "message",
    [
        "And for colleagues?",
        "And a monthly one?",
        "What if it were a book?",
        "How long can I return it?",
        "Which of these plans is cheaper?",
        "What about the Team plan?",
        "Why?",
        "How many seats?",
        "colleagues, monthly plan",
        "What does the other plan cost then?",
    ],
)
def test_what_leans_on_the_conversation_is_left_to_a_model(message: str) -> None:
    assert not understanding.stands_alone(message)


def test_a_rewriting_that_lost_a_word_or_number_is_not_believed() -> None:
    message = "And a monthly one for 12 users?"
    good = "How long can I return a monthly plan for 12 users?"
    assert understanding.kept(message, good, before=QUESTION) == good
    for lost in (QUESTION, "How long can I return a monthly plan?", "", "  "):
        assert "monthly one for 12" in understanding.kept(message, lost, before=QUESTION)


def found(text: str, dense: float | None) -> dict[str, Any]:
    scores = {"bm25": 1.0, "dense": dense, "fused": 1.0, "rerank": None}
    return {**passage(text, chunk_id="c"), "scores": scores}


@pytest.mark.parametrize(
    ("passages", "thin"),
    [
        ([], True),
        ([found("Whales sing in winter.", 0.1)], True),
        ([found("Whales sing in winter.", None)], True),
        ([found("Whales sing in winter.", 0.6)], False),
        ([found("An annual plan is refunded.", 0.1)], False),
    ],
)
def test_evidence_is_thin_that_shares_neither_words_nor_meaning(
    passages: list[dict[str, Any]], thin: bool
) -> None:
    assert understanding.thin(QUESTION, passages) is thin


def test_a_question_without_words_of_its_own_is_never_thin() -> None:
    assert not understanding.thin("What is it?", [found("Whales sing.", 0.0)])


async def test_a_message_that_stands_alone_is_not_rewritten() -> None:
    alone = "What does lunch cost for visitors?"
    with ScriptedModel(
        steps=[
            Scripted(
                agent="coordinator",
                when=lambda asked: asked.last == alone,
                answer={"move": "research", "text": "", "tasks": [alone]},
            ),
            Scripted(agent="researcher", answer="Within 45 days."),
            Scripted(agent="critic", answer="45 days"),
        ],
        plain=True,
    ) as model:
        house = House(model)
        outcome = await house.answered("How long?", "45 days.", alone)
    assert outcome.usage.model_calls == 3
    assert "question.understood" not in house.kinds()


async def test_thanks_in_a_conversation_cost_one_model_call() -> None:
    with ScriptedModel(
        steps=[
            Scripted(
                agent="coordinator", answer={"move": "reply", "text": "Any time!", "tasks": []}
            )
        ],
        plain=True,
    ) as model:
        outcome = await House(model).answered("How long?", "45 days.", "Thank you!")
    assert (outcome.answer, outcome.usage.model_calls) == ("Any time!", 1)


async def test_a_follow_up_whose_rewriting_lost_its_point_keeps_both_questions() -> None:
    both = f"{QUESTION} And a monthly one?"
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", contains="monthly one?", answer=QUESTION),
            Scripted(agent="coordinator", contains="monthly one?", answer=PLAN_RESEARCH),
            Scripted(agent="researcher", contains="monthly one?", answer="Within 45 days."),
            Scripted(agent="critic", answer="45 days"),
        ],
        plain=True,
    ) as model:
        house = House(model)
        await house.run(QUESTION, "45 days.", "And a monthly one?")
    (told,) = [one for one in house.events if isinstance(one, events.QuestionUnderstood)]
    assert (told.message, told.question, told.calls) == ("And a monthly one?", both, 1)


@pytest.mark.parametrize(
    "plan",
    [
        {"answer": {"move": "research", "text": "", "tasks": []}},
        {"error": MalformedStep("no plan", model="scripted")},
    ],
)
async def test_a_follow_up_that_no_plan_completes_keeps_both_questions(plan: Any) -> None:
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", **plan),
            Scripted(agent="researcher", contains=QUESTION, answer="Within 45 days."),
            Scripted(agent="critic", answer=SUPPORTED),
        ]
    ) as model:
        house = House(model)
        await house.run(QUESTION, "45 days.", "And a monthly one?")
    assert house.asked == [f"{QUESTION} And a monthly one?"]


async def test_a_rewriter_that_says_nothing_fails_no_run() -> None:
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", error=MalformedStep("empty", model="scripted")),
            Scripted(agent="coordinator", answer=PLAN_RESEARCH),
            Scripted(agent="researcher", answer="Within 45 days."),
            Scripted(agent="critic", answer="45 days"),
        ],
        plain=True,
    ) as model:
        house = House(model)
        outcome = await house.answered(QUESTION, "45 days.", "And a monthly one?")
    assert outcome.stop_reason == "answered"
    assert house.asked == [f"{QUESTION} And a monthly one?"]


async def test_a_long_follow_up_keeps_its_end_and_is_searched_for_by_what_it_asks() -> None:
    story = "I went from the office in Vienna to the one in Graz. " * 20
    asked = "Which per diem holds in Denmark?"
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", contains=asked, answer="Which per diem holds?"),
            Scripted(agent="coordinator", answer=PLAN_RESEARCH),
            Scripted(agent="researcher", contains=asked, answer="NOT FOUND"),
            Scripted(
                agent="researcher", calls=(("search_documents", {"query": "per diem Denmark"}),)
            ),
        ],
        plain=True,
    ) as model:
        house = House(model)
        await house.run(QUESTION, "45 days.", story + asked)
    assert house.asked == [f"{QUESTION} {asked}", "per diem Denmark"]


def test_a_long_question_is_looked_for_by_its_sentences_that_ask() -> None:
    assert understanding.query_of("How long?") == "How long?"
    tale = "My laptop was stolen in a train. " * 8
    assert understanding.query_of(f"What now? {tale}Whom do I tell?") == "What now? Whom do I tell?"
    assert understanding.query_of(tale) == tale[:200]
    assert len(understanding.query_of("why " * 90 + "?")) == 200


async def test_a_real_search_tells_its_filters_and_a_thin_one_is_made_again() -> None:
    embedder = HashedEmbedder(dimension=64)
    store = await ServerStore.open(MEMORY, embedder=embedder.name, dimension=embedder.dimension)
    knowledge = LocalKnowledge(store, embedder=embedder, parser=InlineParser())
    for company, days in (("Acme", 30), ("Umbrella", 25)):
        await knowledge.ingest_text(
            f"# Holiday\n\nEveryone has {days} days of holiday.",
            name=f"{company}.md",
            tenant=DEFAULT_TENANT,
            collection=DEFAULT_COLLECTION,
            metadata={"company": company},
        )
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", answer=PLAN_RESEARCH),
            Scripted(agent="researcher", contains="25 days", answer="25 days [1]."),
            Scripted(agent="critic", answer="25 days"),
            Scripted(agent="coordinator", answer=PLAN_RESEARCH),
            Scripted(
                agent="researcher",
                contains="in other words",
                calls=(("search_documents", {"query": "holiday days"}),),
            ),
            Scripted(agent="researcher", contains="30 days", answer="NOT FOUND"),
        ],
        plain=True,
    ) as model:
        house = House(model)
        house.executor._tools = {"search_documents": search_documents(knowledge)}
        first = await house.answered("How many days of holiday has Umbrella?", thread_id="a")
        told = [one for one in house.events if isinstance(one, events.RetrievalQuery)]
        house.events.clear()
        second = await house.answered("Zyx qwv kjh?", thread_id="b")
    assert first.answer == "25 days [1]."
    assert [(one.reason, one.filters, one.hits) for one in told] == [
        ("question", {"company": "Umbrella"}, 1)
    ]
    assert second.stop_reason == "not_found"
    again = [one for one in house.events if isinstance(one, events.RetrievalQuery)]
    assert [one.reason for one in again] == ["question", "thin"]
    await store.close()


@pytest.mark.parametrize(("dense", "words"), [(0.43, ["pension"]), (0.53, []), (None, [])])
def test_a_missing_word_counts_where_nothing_near_in_meaning_was_found(
    dense: float | None, words: list[str]
) -> None:
    passages = [found("The company: who pays an annual plan pays in advance.", dense)]
    assert understanding.unspoken("What does the company pension plan pay?", passages) == words


async def test_a_question_in_another_language_is_not_held_to_english_nearness() -> None:
    """The default embedder finds nothing near in German, and a German word has many forms."""
    far = found("Jahresabonnements werden innerhalb von 45 Tagen vollständig erstattet.", 0.37)
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", answer={"move": "research", "text": "", "tasks": []}),
            Scripted(agent="researcher", answer="Innerhalb von 45 Tagen [1]."),
            Scripted(agent="critic", answer=SUPPORTED),
        ]
    ) as model:
        house = House(model, found={"": [far]})
        outcome = await house.answered("Bis wann kann ich einen Jahresplan zurückgeben?")
    assert (outcome.answer, outcome.stop_reason) == ("Innerhalb von 45 Tagen [1].", "answered")


async def test_a_plan_that_no_document_has_is_not_made_up() -> None:
    """Its one common word stands in a passage, and the draft states no number to be counted."""
    draft = "The pension plan pays in advance [1]."
    far = found("An annual plan pays in advance.", 0.43)
    with ScriptedModel(
        steps=[
            Scripted(agent="coordinator", answer=PLAN_RESEARCH),
            Scripted(agent="researcher", answer=draft),
            Scripted(agent="researcher", contains="nothing found speaks of pension", answer=draft),
        ],
        plain=True,
    ) as model:
        outcome = await House(model, found={"": [far]}).answered("What does the pension plan pay?")
    assert outcome.stop_reason == "not_found"
    assert outcome.answer.startswith("The documents do not say that.")
    assert outcome.unsupported_share == 1.0
