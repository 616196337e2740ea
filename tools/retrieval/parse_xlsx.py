"""XLSX through openpyxl: what somebody who opens the workbook sees on its sheets."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import openpyxl
from openpyxl.worksheet.formula import ArrayFormula, DataTableFormula

from tools.retrieval import grid, titles
from tools.retrieval.assembly import Assembly
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import EmptyDocument, TooLarge
from tools.retrieval.office_archive import guard
from tools.retrieval.sniff import Format

# What Excel itself can hold; a file may claim any number.
_MAX_ROWS = 1_048_576
# Of a formula whose saved value is an empty text, the library gives none, but its kind.
_TEXT_RESULT = "str"
# What a format shows as it stands, or leaves room for.
_LITERAL = re.compile(r'"[^"]*"|[\\_*].')
_ZEROS = re.compile("0{2,20}")
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s>/]")


def parse(data: bytes, *, name: str, max_unpacked: int, max_cells: int) -> Parsed:
    """Each sheet under its name, its tables as tables; hidden sheets are named, not read.

    A formula gives the value that was saved with it, or itself where none was. Raises TooLarge
    for more than ``max_cells`` cells, DamagedDocument, or EmptyDocument.
    """
    guard(data, name=name, max_unpacked=max_unpacked)
    assembly = Assembly()
    budget = _Budget(name=name, cells=max_cells, chars=max_unpacked)
    values = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
    # A second reading has the formulas where the first has the values that were saved.
    formulas = (
        openpyxl.load_workbook(io.BytesIO(data), read_only=True) if _has_formulas(data) else None
    )
    hidden: list[str] = []
    filled = False
    for place, sheet in enumerate(values.worksheets):
        if sheet.sheet_state != "visible":
            hidden.append(sheet.title)
            continue
        # A workbook's own word on a sheet's size can be wrong either way.
        sheet.reset_dimensions()
        second: Iterable[tuple[Any, ...]] = ()
        if formulas is not None:
            formulas.worksheets[place].reset_dimensions()
            second = formulas.worksheets[place].iter_rows(values_only=True)
        rows = list(_rows(sheet, second, budget))
        if any(cell.strip() for row in rows for cell in row):
            filled = True
            assembly.heading(1, sheet.title)
            grid.write(rows, assembly)
    title = titles.told(values.properties.title) or name
    values.close()
    if formulas is not None:
        formulas.close()
    if not filled:
        raise EmptyDocument(f"{name}: no visible sheet holds a value; nothing to ingest")
    if hidden:
        assembly.heading(1, "Hidden sheets")
        assembly.block("Not read, because they are hidden: " + ", ".join(hidden))
    return assembly.finish(title=title, media_type=Format.XLSX)


class _Budget:
    """Counts what a workbook makes of few bytes: padded rows, one string in a million cells."""

    def __init__(self, *, name: str, cells: int, chars: int) -> None:
        self._name = name
        self._max_cells = cells
        self._chars = chars
        self._cells = cells

    def spend(self, row: list[str], *, number: int) -> None:
        self._cells -= max(len(row), 1)
        self._chars -= sum(map(len, row))
        if self._cells < 0 or self._chars < 0 or number > _MAX_ROWS:
            raise TooLarge(
                f"{self._name}: more than {self._max_cells} cells or {_MAX_ROWS} rows; split it"
            )


def _has_formulas(data: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return any(
            _FORMULA.search(archive.read(entry))
            for entry in archive.namelist()
            if entry.endswith(".xml") and "sheet" in entry.lower()
        )


def _rows(sheet: Any, second: Iterable[tuple[Any, ...]], budget: _Budget) -> Iterator[list[str]]:
    pairs = zip_longest(sheet.iter_rows(), second, fillvalue=())
    for number, (cells, formulas) in enumerate(pairs, start=1):
        row = [
            shown(cell.value, cell.number_format)
            if cell.value is not None or cell.data_type == _TEXT_RESULT
            else _formula(formulas[place] if place < len(formulas) else None)
            for place, cell in enumerate(cells)
        ]
        budget.spend(row, number=number)
        yield row


def _formula(value: Any) -> str:
    if isinstance(value, ArrayFormula):
        return str(value.text or "")
    if value is None or isinstance(value, DataTableFormula):
        return ""
    return str(value)


def shown(value: Any, number_format: str | None = None) -> str:
    """A cell's value as people read it: ISO dates, numbers without noise, percentages."""
    match value:
        case None:
            return ""
        case bool():
            return "TRUE" if value else "FALSE"
        case datetime.datetime():
            plain = value.replace(microsecond=0)
            return plain.date().isoformat() if _midnight(plain) else plain.isoformat(sep=" ")
        case datetime.date() | datetime.time():
            return value.isoformat()
        case datetime.timedelta():
            minutes, seconds = divmod(round(abs(value.total_seconds())), 60)
            sign = "-" if value < datetime.timedelta() else ""
            return f"{sign}{minutes // 60}:{minutes % 60:02}:{seconds:02}"
        case int() | float():
            if number_format and "%" in _LITERAL.sub("", number_format.partition(";")[0]):
                return f"{_number(value * 100)}%"
            # Numbers that are names: postal codes, articles.
            if number_format and _ZEROS.fullmatch(number_format) and float(value).is_integer():
                return f"{value:0{len(number_format)}.0f}"
            return _number(value)
        case _:
            return str(value)


def _midnight(moment: datetime.datetime) -> bool:
    return moment.time() == datetime.time()


def _number(value: float) -> str:
    # Fifteen digits are what a spreadsheet itself keeps.
    return str(value) if isinstance(value, int) else f"{value:.15g}"
