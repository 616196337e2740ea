"""Small documents of each format, made on the spot."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from typing import Any

import docx
import openpyxl
import pptx
from pptx.util import Inches
from reportlab.lib import pdfencrypt
from reportlab.pdfgen.canvas import Canvas


def pdf(*pages: str, password: str | None = None, title: str = "") -> bytes:
    """A PDF with one line of text a page; an empty text is a page with a drawing alone."""
    out = io.BytesIO()
    encryption: Any = None
    if password is not None:
        encryption = pdfencrypt.StandardEncryption(password, strength=128)
    canvas = Canvas(out, encrypt=encryption)
    canvas.setTitle(title)
    for text in pages:
        if text:
            canvas.drawString(72, 720, text)
        else:
            canvas.rect(72, 72, 100, 100)
        canvas.showPage()
    canvas.save()
    return out.getvalue()


def word() -> bytes:
    """A DOCX with headings, a list, a table within a table, a header and a footer."""
    document = docx.Document()
    document.add_heading("Handbook", 1)
    document.add_paragraph("Welcome to the house.")
    document.add_heading("Holiday", 2)
    document.add_paragraph("30 days a year", style="List Bullet")
    document.add_paragraph("Ask your lead", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    table.cell(0, 0).text = "Country"
    table.cell(0, 1).text = "Days"
    table.cell(1, 0).text = "France"
    inner = table.cell(1, 1).add_table(rows=1, cols=2)
    inner.cell(0, 0).text = "regular 30"
    inner.cell(0, 1).text = "senior 32"
    document.sections[0].header.paragraphs[0].text = "Acme internal"
    document.sections[0].footer.paragraphs[0].text = "Form HR-7"
    return saved(document)


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def archive(**entries: bytes) -> bytes:
    """A zip archive; ``__`` in a name stands for a slash, ``_dot_`` for a dot."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in entries.items():
            made.writestr(name.replace("__", "/").replace("_dot_", "."), data)
    return out.getvalue()


PAGE = """<!doctype html><html><head><title>Handbook - Acme</title><style>p{}</style></head><body>
<nav><ul><li><a href="/">Home</a></li></ul></nav>
<main><h1>Handbook</h1><p>Welcome to <b>the</b>\n house.</p>
<h2>Holiday</h2><ul><li>30 days a year</li><li>Ask your lead</li></ul>
<script>alert(1)</script><p hidden>secret</p><p style="display: none">hidden</p>
<table><tr><th>Country</th><th>Days</th></tr><tr><td>France</td><td>30</td></tr></table>
<pre>line one
  line two</pre></main>
<footer>Imprint</footer></body></html>"""


def archive_with(made: bytes, part: str, data: bytes | Callable[[bytes], bytes]) -> bytes:
    """The archive ``made`` with ``part`` replaced, or changed by a function."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(made)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.namelist():
            held = old.read(entry)
            if entry == part:
                held = data if isinstance(data, bytes) else data(held)
            new.writestr(entry, held)
    return out.getvalue()


def workbook() -> bytes:
    """An XLSX: a titled table with a date, a share, a saved and an unsaved formula; a second
    table; an empty sheet; a hidden one.
    """
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Sales"
    for row in (
        ["Sales by country"],
        ["Country", None, "Day", "Share", "Sum"],
        ["France", None, datetime.date(2026, 3, 1), 0.125, 0.1 + 0.2],
        ["Norway", None, datetime.datetime.fromisoformat("2026-03-02T09:30"), 0.5, "=SUM(A1:A2)"],
        [],
        ["Person", "Paid"],
        ["Ada", True],
    ):
        sheet.append(row)
    sheet["D3"].number_format = "0.0%"
    sheet["D4"].number_format = "0%"
    book.create_sheet("Empty")
    secret = book.create_sheet("Secret")
    secret.append(["hidden words", 1])
    secret.sheet_state = "hidden"
    return saved(book)


def deck() -> bytes:
    """A PPTX: a title slide, bullets with notes, a slide with a table, an empty slide."""
    made = pptx.Presentation()
    first = made.slides.add_slide(made.slide_layouts[0])
    first.shapes.title.text = "The plan"
    first.placeholders[1].text = "For everybody"
    second = made.slides.add_slide(made.slide_layouts[1])
    second.shapes.title.text = "Steps"
    frame = second.placeholders[1].text_frame
    frame.text = "Look"
    inner = frame.add_paragraph()
    inner.text, inner.level = "twice", 1
    second.notes_slide.notes_text_frame.text = "Say it slowly."
    third = made.slides.add_slide(made.slide_layouts[5])
    third.shapes.title.text = "Costs"
    table = third.shapes.add_table(2, 2, 0, Inches(2), Inches(4), Inches(1)).table
    for place, text in enumerate(("Item", "Price", "Pen", "3 €")):
        table.cell(place // 2, place % 2).text = text
    made.slides.add_slide(made.slide_layouts[6])
    return saved(made)


def message(*attachments: tuple[str, bytes], html: str | None = None) -> bytes:
    """A message of Ada to Bob with files attached, and its body as HTML where given."""
    made = EmailMessage()
    made["From"], made["To"] = "Ada <ada@example.org>", "bob@example.org"
    made["Subject"], made["Date"] = "Grüße", "Mon, 02 Mar 2026 09:30:00 +0100"
    if html is None:
        made.set_content("The body, with käse.\n")
    else:
        made.set_content(html, subtype="html")
    for name, data in attachments:
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()
