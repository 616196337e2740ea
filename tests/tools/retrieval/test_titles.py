"""What a document is called, where its file says nothing or something of no use."""

from __future__ import annotations

import docx
import openpyxl
import pptx
import pytest

from tests.tools.retrieval.making import pdf, saved
from tests.tools.retrieval.test_parse import read
from tools.retrieval import titles


@pytest.mark.parametrize(
    ("given", "title"),
    [
        ("PowerPoint Presentation", ""),
        ("PowerPoint-Präsentation", ""),
        ("Présentation PowerPoint", ""),
        ("Microsoft Word - Leave rules.docx", "Leave rules.docx"),
        ("Microsoft PowerPoint - Presentation1", ""),
        (" (anonymous) ", ""),
        ("Document12", ""),
        (None, ""),
        ("PowerPoint for beginners", "PowerPoint for beginners"),
        ("Learning PowerPoint", "Learning PowerPoint"),
        ("Documents\nwe keep", "Documents we keep"),
    ],
)
def test_a_title_that_a_program_put_there_is_none(given: str | None, title: str) -> None:
    assert titles.told(given) == title


def test_a_document_is_called_by_its_heading_or_its_name_instead() -> None:
    deck, word, book = pptx.Presentation(), docx.Document(), openpyxl.Workbook()
    deck.core_properties.title = "PowerPoint Presentation"
    deck.slides.add_slide(deck.slide_layouts[5]).shapes.title.text = "The plan"
    word.core_properties.title = "Document1"
    word.add_heading("Rules", 1)
    book.properties.title = "Book 1"
    book.active.append(["Words"])
    assert read(saved(deck), name="a.pptx").title == "The plan"
    assert read(saved(word), name="a.docx").title == "Rules"
    assert read(saved(book), name="a.xlsx").title == "a.xlsx"
    assert read(pdf("Words.", title="Microsoft Word - b.doc"), name="a.pdf").title == "b.doc"
