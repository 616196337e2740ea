"""How files begin: run in the sandbox by ``tools.file_preview``, and needs nothing of ours.

Prints a JSON list of ``{"name", "text"}``; what cannot be read is told as such.
"""

from __future__ import annotations

import csv
import json
import zipfile
from typing import Any

_HEAD = 65_536
_LINES = 4
_WIDTH = 160
_SHEETS = 8
_ROWS = 3


def _clip(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"


def _row(values: Any) -> str:
    return _clip(" | ".join("" if value is None else str(value) for value in values))


def _text(path: str) -> list[str]:
    with open(path, "rb") as file:  # noqa: PTH123 - the guest's own words
        head = file.read(_HEAD)
        count = head.count(b"\n")
        while piece := file.read(1 << 20):
            count += piece.count(b"\n")
    if b"\x00" in head:
        return ["binary"]
    try:
        # A character may be cut in two at the end of the piece.
        text, encoding = head[: len(head) - 3].decode("utf-8-sig"), "utf-8"
        text = head.decode("utf-8-sig", "ignore")
    except UnicodeDecodeError:
        text, encoding = head.decode("cp1252", "replace"), "not utf-8, perhaps cp1252"
    lines = text.splitlines()
    about = f"{count:,} line ends, {encoding}"
    if path.lower().endswith((".csv", ".tsv", ".txt")):
        try:
            found = csv.Sniffer().sniff("\n".join(lines[:20]), delimiters=",;\t|")
            about += f", columns separated by {found.delimiter!r}"
        except csv.Error:
            pass
    return [about, *(_clip(line) for line in lines[:_LINES])]


def _workbook(path: str) -> list[str]:
    try:
        import openpyxl  # type: ignore[import-untyped,import-not-found,unused-ignore]
    except ImportError:
        with zipfile.ZipFile(path) as archive:
            sheets = [one for one in archive.namelist() if one.startswith("xl/worksheets/sheet")]
        return [f"{len(sheets)} sheets (openpyxl is not installed)"]
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    told = [f"{len(book.sheetnames)} sheets"]
    for name in book.sheetnames[:_SHEETS]:
        sheet = book[name]
        told.append(f"sheet {name!r}: {sheet.max_row} rows, {sheet.max_column} columns")
        told += [_row(row) for row in sheet.iter_rows(max_row=_ROWS, values_only=True)]
    return told


def _pdf(path: str) -> list[str]:
    try:
        import pypdf  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return ["PDF (pypdf is not installed)"]
    pages = pypdf.PdfReader(path).pages
    lines = (pages[0].extract_text() if pages else "").splitlines()
    return [f"{len(pages)} pages", *(_clip(line) for line in lines[: 2 * _LINES])]


def _parquet(path: str) -> list[str]:
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return ["Parquet (pyarrow is not installed)"]
    file = parquet.ParquetFile(path)
    columns = ", ".join(f"{one.name}: {one.type}" for one in file.schema_arrow)
    return [f"{file.metadata.num_rows:,} rows", _clip(columns)]


_READERS = {".xlsx": _workbook, ".xlsm": _workbook, ".pdf": _pdf, ".parquet": _parquet}


def preview(names: list[str]) -> None:
    """Print how each file begins."""
    told = []
    for name in names:
        read = _READERS.get("." + name.lower().rpartition(".")[2], _text)
        try:
            text = "\n".join(read(name))
        except Exception as error:  # noqa: BLE001 - whatever a broken file does to its reader
            text = f"cannot be read: {type(error).__name__}: {_clip(str(error))}"
        told.append({"name": name, "text": text})
    print(json.dumps(told))
