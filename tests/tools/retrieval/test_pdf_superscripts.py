"""A raised number after a number of a PDF, which would read as a part of it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tools.retrieval.test_parse import read
from tests.tools.retrieval.test_pdf_annotations import page
from tools.retrieval.documents import Kind


def write(canvas: Any, x: float, y: float, *parts: tuple[str, float, float]) -> None:
    """Each part of a line by its text, its size and how much it is raised, in points."""
    text = canvas.beginText(x, y)
    for words, size, rise in parts:
        text.setFont("Helvetica", size)
        text.setRise(rise)
        text.textOut(words)
    canvas.drawText(text)


@pytest.mark.parametrize(
    ("parts", "read_as"),
    [
        ([("The mass is 10", 12, 0), ("6", 7, 5), (" kg.", 12, 0)], "The mass is 10^6 kg."),
        ([("10", 12, 0), ("-14", 7, 5), (" m", 12, 0)], "10^-14 m"),
        ([("1,234", 12, 0), ("12", 7, 5), (" euros", 12, 0)], "1,234^12 euros"),
        ([("the 5", 12, 0), ("th", 7, 5), (" day", 12, 0)], "the 5th day"),
        ([("x10", 12, 0), ("2", 7, -3), (" is low", 12, 0)], "x102 is low"),
        ([("12", 12, 0), ("34", 14, 0)], "1234"),
    ],
)
def test_a_superscript_makes_no_other_number(
    parts: list[tuple[str, float, float]], read_as: str
) -> None:
    parsed = read(page(lambda canvas: write(canvas, 72, 700, *parts)), name="a.pdf")
    # PDFium may begin a line behind it.
    assert parsed.text.split() == read_as.split()


def test_a_superscript_makes_no_other_number_in_a_table() -> None:
    def draw(canvas: Any) -> None:
        write(canvas, 72, 760, ("In all 10", 12, 0), ("9", 7, 5), (" euros:", 12, 0))
        canvas.grid([70, 170, 270], [640, 660, 680, 700])
        for row, (name, value) in enumerate((("Item", "Sum"), ("Pens", "12"), ("Ink", "7"))):
            canvas.drawString(75, 686 - 20 * row, name)
            raised = [("1", 7, 5)] if value == "12" else []
            write(canvas, 175, 686 - 20 * row, (value, 12, 0), *raised)

    [text, table] = read(page(draw), name="a.pdf").sections
    assert text.text.split() == "In all 10^9 euros:".split()
    assert table.kind is Kind.TABLE
    assert table.text.splitlines()[2:] == ["| Pens | 12^1 |", "| Ink | 7 |"]
