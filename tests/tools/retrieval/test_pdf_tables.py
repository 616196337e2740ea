"""Tables on PDF pages: ruled cells, aligned columns, and what must stay text."""

from __future__ import annotations

import io
import string
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Paragraph, SimpleDocTemplate
from reportlab.platypus import Table as Drawn

from tests.tools.retrieval.test_parse import read
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.pdf_layout import Word
from tools.retrieval.pdf_tables import is_caption, tables

ROWS = [["Country", "Days", "Note"], ["France", "30", "regular"], ["Norway", "25", ""]]
ROWS += [["Peru", "1,200", "since May"], ["Chad", "7", "none"]]
MARKDOWN = (
    "| Country | Days | Note |\n| --- | --- | --- |\n| France | 30 | regular |\n"
    "| Norway | 25 |  |\n| Peru | 1,200 | since May |\n| Chad | 7 | none |"
)


def flowing(*parts: object) -> bytes:
    out = io.BytesIO()
    SimpleDocTemplate(out, pagesize=A4).build(list(parts))
    return out.getvalue()


def drawn(write: Callable[[Canvas], None], *, rotation: int = 0) -> bytes:
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A4)
    if rotation:
        canvas.setPageRotation(rotation)
    write(canvas)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def kept(parsed: Parsed) -> list[str]:
    return [section.text for section in parsed.sections if section.kind is Kind.TABLE]


def text(words: str) -> Paragraph:
    return Paragraph(words, getSampleStyleSheet()["Normal"])


@pytest.mark.parametrize(
    "style", [[], [("GRID", (0, 0), (-1, -1), 0.5, colors.black)]], ids=["aligned", "ruled"]
)
def test_a_table_is_kept_with_its_caption_between_its_neighbours(style: list[object]) -> None:
    table = Drawn(ROWS, style=style)
    parsed = read(flowing(text("Before."), text("Table 1: Holiday"), table, text("After.")))
    assert [(one.kind, one.text, one.caption) for one in parsed.sections] == [
        (Kind.PROSE, "Before.\nTable 1: Holiday", ""),
        (Kind.TABLE, MARKDOWN, "Table 1: Holiday"),
        (Kind.PROSE, "After.", ""),
    ]


def test_ruled_cells_keep_their_lines_together() -> None:
    rows = [["Name", "Duty"], ["Ada", text("reads and<br/>writes<br/>code")], ["Bob", "rests"]]
    table = Drawn(rows, colWidths=150, style=[("GRID", (0, 0), (-1, -1), 0.5, colors.black)])
    assert kept(read(flowing(table))) == [
        "| Name | Duty |\n| --- | --- |\n| Ada | reads and writes code |\n| Bob | rests |"
    ]


def test_a_header_of_groups_over_names_becomes_one() -> None:
    rows = [["", "Sold", "", "Lent", ""], ["Month", "Pens", "Ink", "Pens", "Ink"]]
    rows += [["May", "3", "4", "5", "6"], ["June", "1", "2", "3", "4"]]
    style: list[Any] = [("GRID", (0, 0), (-1, -1), 0.5, colors.black)]
    style += [("SPAN", (1, 0), (2, 0)), ("SPAN", (3, 0), (4, 0))]
    [found] = kept(read(flowing(Drawn(rows, style=style))))
    assert found.split("\n")[0] == "| Month | Sold Pens | Sold Ink | Lent Pens | Lent Ink |"
    assert found.split("\n")[2] == "| May | 3 | 4 | 5 | 6 |"


def test_a_table_on_a_turned_page_is_kept() -> None:
    def write(canvas: Canvas) -> None:
        canvas.translate(A4[0], 0)
        canvas.rotate(90)
        for down, row in enumerate(ROWS):
            for across, cell in enumerate(row):
                canvas.drawString(80 + 150 * across, 500 - 16 * down, cell)

    assert kept(read(drawn(write, rotation=90))) == [MARKDOWN]


def test_columns_of_prose_stay_prose_in_order() -> None:
    left = [f"The left column says in line {place} what" for place in range(8)]
    right = [f"And the right column answers in line {place}" for place in range(8)]

    def write(canvas: Canvas) -> None:
        for across, column in ((60, left), (320, right)):
            for down, line in enumerate(column):
                canvas.drawString(across, 700 - 14 * down, line)

    parsed = read(drawn(write))
    assert kept(parsed) == []
    assert parsed.text.replace("\r", "").split("\n") == left + right


@pytest.mark.parametrize("mark", ["1.", "•", "(a)", "12"])
def test_the_marks_of_a_list_are_no_column(mark: str) -> None:
    def write(canvas: Canvas) -> None:
        for down in range(6):
            canvas.drawString(60, 700 - 14 * down, mark)
            canvas.drawString(100, 700 - 14 * down, f"Point {down} of the list")

    assert kept(read(drawn(write))) == []


def test_the_axes_of_a_chart_are_no_cells() -> None:
    def write(canvas: Canvas) -> None:
        canvas.line(100, 100, 400, 100)
        canvas.line(100, 100, 100, 400)
        for place in range(5):
            canvas.line(100 + 60 * place, 95, 100 + 60 * place, 105)
            canvas.drawString(105 + 60 * place, 80, f"Q{place}")

    assert kept(read(drawn(write))) == []


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("Table 1: Holiday", True),
        ("Tab. 3 Preise", True),
        ("TABLE IV", True),
        ("Tables are useful.", False),
        ("The table 1 shows", False),
    ],
)
def test_a_caption_is_known_by_its_number(line: str, *, named: bool) -> None:
    assert is_caption(line) is named


CELL = st.text(string.ascii_letters + string.digits, min_size=1, max_size=8)


@settings(deadline=None)
@given(
    st.integers(3, 5).flatmap(
        lambda width: st.lists(st.lists(CELL, min_size=width, max_size=width), min_size=3)
    )
)
def test_a_full_grid_of_words_reads_back(rows: list[list[str]]) -> None:
    words = [
        Word(
            text=cell,
            start=0,
            end=0,
            line=down,
            x0=100.0 * across,
            x1=100.0 * across + 6 * len(cell),
            y0=14.0 * down,
            y1=14.0 * down + 11,
        )
        for down, row in enumerate(rows)
        for across, cell in enumerate(row)
    ]
    [found] = tables(words)
    assert found.rows == tuple(map(tuple, rows))
    assert found.words == frozenset(range(len(words)))


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            lambda line, x, y, width: Word(
                text="w", start=0, end=0, line=line, x0=x, x1=x + width, y0=y, y1=y + 10
            ),
            st.integers(0, 5),
            st.floats(0, 500),
            st.floats(0, 500),
            st.floats(0, 90),
        ),
        max_size=30,
    )
)
def test_no_word_is_in_two_tables_or_twice_in_one(words: list[Word]) -> None:
    words = sorted(words, key=lambda word: word.line)
    found = tables(words)
    places = [place for table in found for place in table.words]
    assert len(places) == len(set(places))
    for table in found:
        assert len({len(row) for row in table.rows}) == 1
        assert sum(len(cell.split()) for row in table.rows for cell in row) == len(table.words)
