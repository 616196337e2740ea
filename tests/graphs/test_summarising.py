"""A whole document read in order: notes of each part, one text of them, citations kept."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphs import condensing, events, understanding
from graphs.keys import DEFAULT_TENANT
from guardrails import citations
from models.embedder import HashedEmbedder
from models.errors import ModelTimeout
from models.scripted import Asked, Scripted, ScriptedModel
from server.runs.asked import DEFAULT_COLLECTION
from tests.graphs.team_house import House, passage
from tools.read_document import read_document
from tools.retrieval.local_knowledge import LocalKnowledge
from tools.retrieval.parse import InlineParser
from tools.retrieval.server_store import MEMORY, ServerStore

SUMMARIZE = "Summarize the yearly report."
TOPICS = "roof bikes lunch films books parking heating garden music chess".split()


class Reader(ScriptedModel):
    """Writes the first sentences of the passages or notes that it is shown, with their marks."""

    def __init__(self, **options: Any) -> None:
        super().__init__(steps=(), plain=True, **options)

    def _take(self, asked: Asked) -> Scripted:
        place = r" [^\n]*\n" if "Passages:" in asked.last else ""
        shown = re.findall(rf"^\[(\d+)\]{place}\s*([^.\n]+)\.", asked.last, re.MULTILINE)
        said = [f"{text.strip()} [{number}]." for number, text in shown]
        return Scripted(answer=" ".join(said[:3]) or "NOT FOUND")


def report(sections: int) -> str:
    parts = ["# Report"]
    for number in range(sections):
        topic = TOPICS[number % len(TOPICS)]
        filler = f"People talked of the {topic} for a while and went home. " * 12
        parts.append(
            f"## Part {number}\n\nThe {topic} of part {number} cost {1000 + number} EUR. {filler}"
        )
    return "\n\n".join(parts)


async def knowing(**documents: str) -> tuple[LocalKnowledge, ServerStore]:
    embedder = HashedEmbedder(dimension=32)
    store = await ServerStore.open(MEMORY, embedder=embedder.name, dimension=embedder.dimension)
    knowledge = LocalKnowledge(store, embedder=embedder, parser=InlineParser())
    for name, text in documents.items():
        await knowledge.ingest_text(
            text,
            name=f"{name}.md",
            title=name.replace("_", " "),
            tenant=DEFAULT_TENANT,
            collection=DEFAULT_COLLECTION,
        )
    return knowledge, store


def reading(model: ScriptedModel, knowledge: LocalKnowledge, **maxima: Any) -> House:
    house = House(model, **maxima)
    tool = read_document(knowledge)
    house.executor._tools = {**house.executor._tools, tool.name: tool}
    return house


async def test_a_long_report_is_summarized_part_by_part_with_its_places() -> None:
    knowledge, store = await knowing(yearly_report=report(40), leave_rules="# Leave\n\n28 days.")
    house = reading(Reader(), knowledge, steps=200)
    outcome = await house.answered(SUMMARIZE)
    assert outcome.stop_reason == "answered"
    assert "Read: 40 of 40 passages of “yearly report”" in outcome.answer
    assert "- Part 0: The roof of part 0 cost 1000 EUR [" in outcome.answer
    assert {source.title for source in outcome.sources} == {"yearly report"}
    cited = {citation.chunk_id for citation in outcome.citations}
    assert cited == {source.chunk_id for source in outcome.sources}
    page = await knowledge.passages(
        outcome.sources[0].document_id, tenant=DEFAULT_TENANT, collection=DEFAULT_COLLECTION,
        limit=100,
    )  # fmt: skip
    assert page is not None
    texts = {chunk.chunk_id: chunk.text for chunk in page.items}
    for citation in outcome.citations:
        assert citation.text in texts[citation.chunk_id]
    read = [event for event in house.events if isinstance(event, events.DocumentRead)]
    assert read[-1].read == 40
    assert "coordinator" not in {
        event.agent for event in house.events if isinstance(event, events.ModelCalled)
    }
    await store.close()


async def test_what_a_budget_leaves_is_told_with_its_sources() -> None:
    knowledge, store = await knowing(yearly_report=report(40))
    house = reading(Reader(), knowledge, steps=8)
    outcome = await house.answered(SUMMARIZE)
    assert outcome.stop_reason == "max_steps"
    assert "I had to stop before I was done" in outcome.answer
    assert re.search(r"Read: \d+ of 40 passages", outcome.answer)
    assert outcome.citations
    await store.close()


async def test_a_part_that_took_too_long_is_left_out_and_not_counted_as_read() -> None:
    class Late(Reader):
        def _take(self, asked: Asked) -> Scripted:
            if "part 3 cost" in asked.last and "Passages:" in asked.last:
                return Scripted(error=ModelTimeout("too long", model="m"))
            return super()._take(asked)

    knowledge, store = await knowing(yearly_report=report(8))
    outcome = await reading(Late(), knowledge).answered(SUMMARIZE)
    assert outcome.stop_reason == "answered"
    assert re.search(r"Read: [67] of 8 passages", outcome.answer)
    assert "part 3 cost" not in outcome.answer
    await store.close()


async def test_a_document_too_long_for_all_of_it_is_read_by_first_sentences() -> None:
    knowledge, store = await knowing(yearly_report=report(150))
    model = Reader()
    house = reading(model, knowledge, steps=200)
    outcome = await house.answered(SUMMARIZE)
    levels = [event.level for event in house.events if isinstance(event, events.DocumentRead)]
    assert max(levels) >= 1
    assert "Read: 150 of 150 passages" in outcome.answer
    assert "of each the first sentences" in outcome.answer
    parts = [asked for asked in model.asked if "Passages:" in asked.last]
    assert len(parts) <= condensing.MOST_PARTS
    assert max(len(asked.last) for asked in parts) < 3_600
    await store.close()


async def test_a_subject_is_looked_for_in_the_documents_own_order() -> None:
    knowledge, store = await knowing(yearly_report=report(20), other="# Other\n\nNothing here.")
    model = Reader()
    question = "What does the yearly report say about the heating across all sections?"
    outcome = await reading(model, knowledge, steps=200).answered(question)
    parts = [int(number) for number in re.findall(r"of part (\d+) cost", outcome.answer)]
    assert {6, 16} <= set(parts)
    await store.close()


@pytest.mark.parametrize("documents", [{}, {"plans": "# A\n\nb.", "rules": "# C\n\nd."}])
async def test_where_no_one_document_is_meant_the_question_is_looked_up(
    documents: dict[str, str],
) -> None:
    knowledge, store = await knowing(**documents)
    with ScriptedModel(
        steps=[
            Scripted(agent="researcher", answer="Within 45 days [1]."),
            Scripted(agent="critic", answer="45 days"),
        ],
        plain=True,
    ) as model:
        outcome = await reading(model, knowledge).answered("Give me an overview of refunds")
    assert outcome.answer == "Within 45 days [1]."
    await store.close()


@pytest.mark.parametrize(
    ("question", "whole", "subject"),
    [
        ("Summarize the security page", True, ""),
        ("Please give me a summary of the report about plans.", True, ""),
        ("What does the report say about risk across sections?", True, "risk"),
        ("What are the key points of the travel rules?", True, ""),
        ("How many days do I have to return an annual plan?", False, ""),
        ("What does the report say about risk?", False, "risk"),
    ],
)
def test_what_asks_for_a_whole_document(question: str, whole: bool, subject: str) -> None:
    assert understanding.wants_whole_document(question) is whole
    assert understanding.subject_of(question) == subject


@given(st.integers(1, 5_000), st.sampled_from([400, 2_600, 10_400]))
def test_the_parts_are_bounded_and_whole_where_they_can_be(total: int, characters: int) -> None:
    parts = condensing.parts_of(total, characters=characters)
    assert 1 <= parts.count <= condensing.MOST_PARTS
    assert parts.per >= 1
    if parts.characters == condensing.WHOLE:
        assert parts.count * parts.per >= total


SENTENCE = st.lists(st.sampled_from([*TOPICS, "12", "40", "cost"]), min_size=1, max_size=6).map(
    lambda words: " ".join(words).capitalize() + "."
)


@given(
    st.lists(SENTENCE, min_size=1, max_size=8),
    st.lists(st.lists(SENTENCE, max_size=4).map(" ".join), min_size=1, max_size=6),
)
def test_every_citation_of_a_condensed_text_resolves_to_a_passage_read(
    texts: list[str], replies: list[str]
) -> None:
    passages = [passage(text, chunk_id=f"c{number}") for number, text in enumerate(texts)]
    known = {one["chunk_id"]: one for one in passages}
    notes = [note for reply in replies for note in condensing.notes_of(reply, passages)]
    assert all(set(note["chunks"]) <= set(known) and note["chunks"] for note in notes)
    level = notes
    for reply in replies:
        if len(level) > 1:
            fewer = condensing.condensed(reply, level)
            assert 0 < len(fewer) < len(level)
            level = fewer
    text, sources = condensing.text_of(level, notes, known)
    marks = citations.marks(text)
    assert sorted(marks) == list(range(1, len(sources) + 1))
    assert {one["chunk_id"] for one in sources} <= set(known)


@given(st.lists(SENTENCE, min_size=1, max_size=9).map(" ".join), st.integers(20, 300))
def test_a_shortened_passage_is_a_beginning_with_its_own_span(text: str, most: int) -> None:
    short = condensing.shortened(passage(text, chunk_id="c"), characters=most)
    start, end = short["span"]
    assert text.startswith(short["text"])
    assert 0 < len(short["text"]) <= max(most, len(text.split(". ")[0]) + 1) + 120
    assert text[start:end] == short["text"]
