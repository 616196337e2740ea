"""Makes the handbook's PDF and DOCX files from the texts in ``sources/``.

Run ``python examples/make_handbook.py`` after a text has changed. The same text gives the same
bytes, so that a run without a change leaves nothing to commit.

A text is a small part of Markdown: ``#`` and ``##`` headings, ``-`` lists, tables whose first row
is the head, and one paragraph per line.
"""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

import docx
from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import cm
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

HERE = Path(__file__).parent
AUTHOR = "Brackenlow"
EPOCH = datetime.datetime(2026, 1, 1)  # noqa: DTZ001 - the formats store no zone
BY_PREFIX = {"# ": "title", "## ": "heading", "- ": "item", "| ": "row"}

Block: TypeAlias = tuple[str, list[str]]


def blocks(text: str) -> Iterator[Block]:
    """Runs of lines of one kind: title, heading, item, row or text."""

    def kind(line: str) -> str:
        return next((k for prefix, k in BY_PREFIX.items() if line.startswith(prefix)), "text")

    for name, lines in groupby(filter(None, text.splitlines()), key=kind):
        yield name, [line if name == "text" else line.split(" ", 1)[1] for line in lines]


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.rstrip("| ").split("|")]


def make_pdf(text: str, *, target: Path) -> None:
    styles = getSampleStyleSheet()
    body = styles["BodyText"]
    body.fontSize, body.leading, body.spaceAfter = 10.5, 14.5, 6
    story: list[Flowable] = []
    title = ""
    for kind, lines in blocks(text):
        if kind == "row":
            rows = [[Paragraph(cell, body) for cell in cells(row)] for row in lines]
            grid = [("GRID", (0, 0), (-1, -1), 0.5, colors.grey), ("VALIGN", (0, 0), (-1, -1), "TOP")]
            story += [Table(rows, colWidths=[2.4 * cm, 7 * cm, 6.6 * cm], style=grid), Spacer(1, 10)]
            continue
        for line in lines:
            if kind == "title":
                title = line
                story.append(Paragraph(line, styles["Title"]))
            elif kind == "heading":
                story.append(Paragraph(line, styles["Heading2"]))
            elif kind == "item":
                story.append(Paragraph(line, body, bulletText="•"))
            else:
                story.append(Paragraph(line, body))
    SimpleDocTemplate(
        str(target),
        pagesize=A4,
        title=title,
        author=AUTHOR,
        invariant=1,
        leftMargin=2.5 * cm,
        rightMargin=2.5 * cm,
        topMargin=2.2 * cm,
        bottomMargin=2.2 * cm,
    ).build(story)


def make_docx(text: str, *, target: Path) -> None:
    document = docx.Document()
    properties = document.core_properties
    properties.author = properties.last_modified_by = AUTHOR
    properties.comments = ""
    properties.created = properties.modified = EPOCH
    for kind, lines in blocks(text):
        if kind == "row":
            rows = [cells(row) for row in lines]
            table = document.add_table(rows=len(rows), cols=len(rows[0]), style="Table Grid")
            for across, row in zip(table.rows, rows, strict=True):
                for cell, value in zip(across.cells, row, strict=True):
                    cell.text = value
            document.add_paragraph()
            continue
        for line in lines:
            if kind == "title":
                properties.title = line
                document.add_heading(line, level=1)
            elif kind == "heading":
                document.add_heading(line, level=2)
            elif kind == "item":
                document.add_paragraph(line, style="List Bullet")
            else:
                document.add_paragraph(line)
    raw = io.BytesIO()
    document.save(raw)
    with zipfile.ZipFile(raw) as made, zipfile.ZipFile(target, "w") as fixed:
        for name in made.namelist():
            # The archive's own time stamps would differ from run to run.
            info = zipfile.ZipInfo(name, date_time=EPOCH.timetuple()[:6])
            fixed.writestr(info, made.read(name), compress_type=zipfile.ZIP_DEFLATED)


def main() -> None:
    handbook = HERE / "handbook"
    for name, make, suffix in (
        ("support-guide", make_pdf, ".pdf"),
        ("travel-and-expenses", make_docx, ".docx"),
        ("leave", make_docx, ".docx"),
    ):
        text = (HERE / "sources" / f"{name}.md").read_text(encoding="utf-8")
        make(text, target=(handbook / name).with_suffix(suffix))


if __name__ == "__main__":
    main()
