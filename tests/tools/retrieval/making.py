"""Small documents of each format, made on the spot."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import docx
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
