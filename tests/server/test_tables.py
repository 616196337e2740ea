"""What lists print into a file or a pipe can be searched line by line."""

from __future__ import annotations

import pytest
from rich.table import Table

from server.commands import tables


def test_a_row_is_one_line_where_nobody_has_a_window(capsys: pytest.CaptureFixture[str]) -> None:
    row = ("doc_668099a08f157f6df63e", "handbook/travel and expenses.docx", "t" * 100, "3")
    table = Table(box=None)
    for heading in ("id", "source", "title", "pages"):
        table.add_column(heading, overflow="fold")
    table.add_row(*row)
    tables.show(table)
    _, line = capsys.readouterr().out.splitlines()
    assert [cell.strip() for cell in line.split("  ") if cell.strip()] == list(row)
