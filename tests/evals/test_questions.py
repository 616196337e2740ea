"""The example questions stand on the example handbook."""

from __future__ import annotations

import importlib.util
import json
from html import unescape
from pathlib import Path

import docx
import pypdfium2
import pytest
from resiliparse.extract.html2text import extract_plain_text

from evals.judge import normalise, occurs
from evals.questions import Kind, QuestionsError, load

EXAMPLES = Path(__file__).parents[2] / "examples"
HANDBOOK = EXAMPLES / "handbook"
FACTS = {
    "plans-and-refunds.md": ("within 45 days of the payment", r"business \| 29 eur"),
    "support-guide.pdf": ("high tickets are answered within 2 hours", "business plan only"),
    "travel-and-expenses.docx": (
        "switzerland 68 eur 45 eur 210 eur",
        "austria 44 eur",
        "denmark 62 eur",
    ),
    "remote-work-and-equipment.html": ("up to 25 working days", "within 3 working days"),
    "security.md": ("within 2 hours of noticing",),
    "billing-and-service-credits.md": (r"99% or more, but less than 99.5% \| 25%",),
    "data-retention-and-backup.md": ("90 days after the last day of the contract",),
}


def text_of(path: Path) -> str:
    match path.suffix:
        case ".pdf":
            pages = pypdfium2.PdfDocument(path)
            try:
                return "\n".join(page.get_textpage().get_text_range() for page in pages)
            finally:
                pages.close()
        case ".docx":
            document = docx.Document(str(path))
            rows = (row for table in document.tables for row in table.rows)
            lines = [" ".join(cell.text for cell in row.cells) for row in rows]
            return "\n".join([*(p.text for p in document.paragraphs), *lines])
        case ".html":
            return unescape(str(extract_plain_text(path.read_text(encoding="utf-8"))))
        case _:
            return path.read_text(encoding="utf-8")


def plain(path: Path) -> str:
    return " ".join(normalise(text_of(path)).split())


@pytest.mark.parametrize("name", FACTS)
def test_every_fact_asked_for_is_in_the_text_of_its_file(name: str) -> None:
    text = plain(HANDBOOK / name)
    for fact in FACTS[name]:
        assert occurs(fact, text), fact


def test_there_are_ten_questions_of_four_kinds_and_their_sources_exist() -> None:
    questions = load(EXAMPLES / "questions.json")
    kinds = [question.kind for question in questions]
    assert [kinds.count(kind) for kind in Kind] == [4, 2, 3, 1]
    assert {name for q in questions for name in q.sources} == set(FACTS)


def test_no_document_says_anything_about_parental_leave() -> None:
    for path in sorted(HANDBOOK.iterdir()):
        text = plain(path)
        assert len(text) > 2000
        for word in ("parental", "maternity", "paternity", "parent", "birth", "adopt", "child"):
            assert word not in text, path.name


def test_the_documents_are_of_four_kinds_and_the_pdf_has_three_pages() -> None:
    suffixes = [path.suffix for path in HANDBOOK.iterdir()]
    assert {s: suffixes.count(s) for s in suffixes} == {
        ".md": 6,
        ".pdf": 1,
        ".docx": 2,
        ".html": 2,
    }
    pages = pypdfium2.PdfDocument(HANDBOOK / "support-guide.pdf")
    assert len(pages) >= 3
    pages.close()


def test_the_binaries_are_what_their_texts_make(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("make_handbook", EXAMPLES / "make_handbook.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    source = (EXAMPLES / "sources" / "leave.md").read_text(encoding="utf-8")
    maker.make_docx(source, target=tmp_path / "a.docx")
    maker.make_docx(source, target=tmp_path / "b.docx")
    assert (tmp_path / "a.docx").read_bytes() == (tmp_path / "b.docx").read_bytes()
    assert text_of(tmp_path / "a.docx") == text_of(HANDBOOK / "leave.docx")
    source = (EXAMPLES / "sources" / "support-guide.md").read_text(encoding="utf-8")
    maker.make_pdf(source, target=tmp_path / "a.pdf")
    assert text_of(tmp_path / "a.pdf") == text_of(HANDBOOK / "support-guide.pdf")


GOOD = {
    "id": "a",
    "question": "?",
    "kind": "lookup",
    "answer": "1",
    "accept": [["1"]],
    "sources": ["a.md"],
}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ([GOOD, GOOD], "'a' occurs twice"),
        ([{**GOOD, "accept": []}], "needs `accept`"),
        ([{**GOOD, "accept": [["("]]}], "not a regular expression"),
        ([{**GOOD, "kind": "unanswerable"}], "needs `subject`"),
        ([{**GOOD, "colour": "red"}], "colour"),
    ],
)
def test_a_question_that_cannot_be_judged_is_refused(
    content: object, told: str, tmp_path: Path
) -> None:
    file = tmp_path / "q.json"
    file.write_text(json.dumps(content))
    with pytest.raises(QuestionsError, match=r"q\.json") as caught:
        load(file)
    assert told in str(caught.value)


def test_a_missing_file_of_questions_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises(QuestionsError, match=r"cannot read .*none\.json"):
        load(tmp_path / "none.json")
