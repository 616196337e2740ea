"""Rows of cells: CSV files and the tables that they and sheets become."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.retrieval.test_parse import read
from tools.retrieval.assembly import markdown_table
from tools.retrieval.documents import Kind
from tools.retrieval.errors import EmptyDocument, TooLarge
from tools.retrieval.grid import pieces
from tools.retrieval.parse_csv import rows, sniff_delimiter

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]))
GRIDS = st.lists(st.lists(CELLS, min_size=2, max_size=5), min_size=1, max_size=8)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_csv_is_a_table_whatever_its_dialect(delimiter: str, encoding: str) -> None:
    source = f"Größe{delimiter}Preis\r\nklein{delimiter}3 €\r\n"
    parsed = read(source.encode(encoding), name="a.csv")
    assert [(one.kind, one.text) for one in parsed.sections] == [
        (Kind.TABLE, "| Größe | Preis |\n| --- | --- |\n| klein | 3 € |")
    ]


@pytest.mark.parametrize(
    ("source", "read_as"),
    [
        ("1,5;2,5\n3,5;4,25\n", [["1,5", "2,5"], ["3,5", "4,25"]]),
        ("a;b\n1,5;2,5\n", [["a", "b"], ["1,5", "2,5"]]),
        ("x;y,1\nz;w,2\n", [["x;y", "1"], ["z;w", "2"]]),
    ],
)
def test_a_decimal_comma_parts_no_number(source: str, read_as: list[list[str]]) -> None:
    assert [row for row in rows(source) if row] == read_as


def test_broken_rows_of_a_csv_are_kept() -> None:
    parsed = read(b'Report\na,b\n1\n1,2,3\n"x\ny",z\n\n4,5\n', name="a.csv")
    assert [one.text for one in parsed.sections] == [
        "Report",
        (
            "| a | b |  |\n| --- | --- | --- |\n| 1 |  |  |\n| 1 | 2 | 3 |\n| x y | z |  |\n"
            "| 4 | 5 |  |"
        ),
    ]
    assert parsed.sections[1].caption == "Report"


def test_a_quotation_mark_that_nobody_closed_swallows_no_rows() -> None:
    source = 'a,b\n1,"open\n' + "".join(f"{number},x\n" for number in range(200))
    text = read(source.encode(), name="a.csv").text
    assert "| 1 | open |" in text
    assert "| 199 | x |" in text


def test_a_cell_over_the_readers_limit_is_kept() -> None:
    assert "x" * 200_000 in read(b"a,b\n1," + b"x" * 200_000, name="a.csv").text


def test_a_csv_of_too_many_cells_is_refused() -> None:
    with pytest.raises(TooLarge, match=r"^a\.csv: 9 cells, the limit is 8; split it"):
        read(b"a,b,c\n1,2,3\n4,5,6", name="a.csv", max_cells=8)
    with pytest.raises(TooLarge):
        read(b"a,b\n" * 50 + b"," * 50, name="a.csv", max_cells=1_000)


def test_a_csv_of_commas_alone_holds_nothing() -> None:
    with pytest.raises(EmptyDocument):
        read(b",,,\n,,,\n", name="a.csv")


def test_a_gap_ends_a_table_unless_numbers_follow() -> None:
    grid = [["a", "b"], ["x", "1"], ["", ""], ["y", "2"], [], ["Note", ""], ["c", "d"], ["e", "f"]]
    assert [(one.lines, one.rows, one.caption) for one in pieces(grid)] == [
        ((), (("a", "b"), ("x", "1"), ("y", "2")), ""),
        (("Note",), (), ""),
        ((), (("c", "d"), ("e", "f")), "Note"),
    ]


@given(GRIDS)
def test_no_word_is_lost_between_rows_and_pieces(grid: list[list[str]]) -> None:
    given_words = [cell for row in grid for cell in row if cell.strip()]
    kept = [
        cell
        for piece in pieces(grid)
        for cell in (*piece.lines, *(cell for row in piece.rows for cell in row))
        if cell.strip()
    ]
    assert [cell.strip() for cell in kept] == [cell.strip() for cell in given_words]


@given(GRIDS)
def test_a_markdown_table_reads_back_as_what_was_written(grid: list[list[str]]) -> None:
    kept = [[" ".join(cell.split()) for cell in row] for row in grid]
    kept = [row for row in kept if any(row)]
    width = max(map(len, kept), default=0)
    assert read_back(markdown_table(grid)) == [row + [""] * (width - len(row)) for row in kept]


def read_back(table: str) -> list[list[str]]:
    """The cells of a Markdown table, by a reader that knows nothing of the writer."""
    lines = table.split("\n") if table else []
    return [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for number, line in enumerate(lines)
        if number != 1
    ]


@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=2, max_size=6),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_a_csv_reads_back_as_what_was_written(grid: list[list[str]], delimiter: str) -> None:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(grid)
    text = out.getvalue().replace("\r\n", "\n")
    if sniff_delimiter(text) == delimiter:
        assert [row for row in rows(text) if row] == grid
