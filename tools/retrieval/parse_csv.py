"""CSV and its kin, through the standard library's reader; no row is lost for being broken."""

from __future__ import annotations

import csv
import io
import re

from tools.retrieval import grid
from tools.retrieval.assembly import Assembly, clean
from tools.retrieval.decode import decode
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import EmptyDocument, TooLarge
from tools.retrieval.sniff import Format

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_LINES = 50
# A comma that is not within a number.
_NO_DECIMAL = re.compile(r"(?<!\d),|,(?!\d)")
# A quoted cell of more lines than this is a quotation mark that nobody closed.
_CELL_LINES = 50


def parse(data: bytes, *, name: str, max_cells: int) -> Parsed:
    """The rows as one table, the first as its header, lines of one cell in front as text.

    Raises EmptyDocument, or TooLarge for more than ``max_cells`` cells.
    """
    text = clean(decode(data)).strip("\n")
    read = rows(text)
    cells = sum(map(len, read))
    # A Markdown table pads every row to its widest.
    widest = max(map(len, read), default=0)
    if max(cells, widest * len(read)) > max_cells:
        raise TooLarge(f"{name}: {cells} cells, the limit is {max_cells}; split it")
    assembly = Assembly()
    grid.write(read, assembly, gaps=False)
    parsed = assembly.finish(title=name, media_type=Format.CSV)
    if not parsed.sections:
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    return parsed


def rows(text: str) -> list[list[str]]:
    """The cells of ``text``, by the delimiter that parts its first lines most evenly."""
    lines = text.split("\n")
    if lines[0].lower().startswith("sep=") and len(lines[0]) == 5:
        delimiter, text = lines[0][4], text[len(lines[0]) + 1 :]
    else:
        delimiter = sniff_delimiter(text)
    try:
        read = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return _by_line(text, delimiter)
    if any(cell.count("\n") > _CELL_LINES for row in read for cell in row):
        return _by_line(text, delimiter)
    return read


def sniff_delimiter(text: str) -> str:
    """Comma, semicolon, tab or bar; a comma where none of them parts the lines."""
    sample = "\n".join(text.split("\n", _SAMPLE_LINES)[:_SAMPLE_LINES])[:100_000]
    best, best_score = ",", (0.0, 0)
    decimal = ";" in sample and not _NO_DECIMAL.search(sample)
    for delimiter in _DELIMITERS[decimal:]:
        try:
            widths = [
                len(row) for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter)
            ]
        except csv.Error:
            continue
        wide = [width for width in widths if width > 1]
        if not wide:
            continue
        commonest = max(set(wide), key=lambda width: (wide.count(width), width))
        score = (wide.count(commonest) / len(widths), commonest)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _by_line(text: str, delimiter: str) -> list[list[str]]:
    return [
        [cell.strip().strip('"') for cell in line.split(delimiter)] for line in text.split("\n")
    ]
