"""Forms that somebody filled in, and comments on pages."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from reportlab.pdfbase.pdfdoc import PDFString
from reportlab.pdfgen.canvas import Canvas

from tests.tools.retrieval.test_parse import read
from tools.retrieval.errors import NeedsOcr


def page(draw: Callable[[Any], None]) -> bytes:
    out = io.BytesIO()
    canvas: Any = Canvas(out)
    draw(canvas)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def fill_in(canvas: Any) -> None:
    form = canvas.acroForm
    form.textfield(name="a", tooltip="Name of applicant", value="Jürgen Doe", y=700)
    form.textfield(name="empty", y=680)
    form.textfield(name="code", value="hunter2", fieldFlags="password", y=660)
    form.choice(name="country", value="Mali", options=["Mali", "Peru"], y=640)
    form.checkbox(name="agrees", checked=True, y=620)
    form.checkbox(name="objects", checked=False, y=600)
    for value in ("red", "green"):
        form.radio(name="colour", value=value, selected=value == "green", y=580)


def test_fields_that_were_filled_in_stand_at_the_pages_end() -> None:
    def draw(canvas: Any) -> None:
        canvas.drawString(72, 720, "Application")
        fill_in(canvas)

    assert read(page(draw), name="a.pdf").text.splitlines() == [
        "Application",
        "",
        "Name of applicant: Jürgen Doe",
        "country: Mali",
        "agrees: Yes",
        "colour: green",
    ]


def test_a_page_of_fields_alone_needs_no_ocr() -> None:
    parsed = read(page(fill_in), name="a.pdf")
    assert "Name of applicant: Jürgen Doe" in parsed.text
    assert parsed.pages_without_text == ()


def comment(canvas: Any) -> None:
    canvas.textAnnotation("Is this\nright?", (72, 500, 90, 520), addtopage=1, T=PDFString("Ada"))
    canvas.textAnnotation("Never.", (72, 400, 90, 420), addtopage=1, F=2)
    canvas.freeTextAnnotation("In a box.", (72, 300, 90, 320), addtopage=1)
    canvas.linkURL("https://a.example", (72, 200, 90, 220))


def test_comments_stand_at_the_pages_end_with_their_authors() -> None:
    def draw(canvas: Any) -> None:
        canvas.drawString(72, 720, "Text.")
        comment(canvas)

    [section] = read(page(draw), name="a.pdf").sections
    assert (section.page, section.text) == (
        1,
        "Text.\n\nComment by Ada: Is this right?\nIn a box.",
    )


def test_a_scan_with_comments_still_needs_ocr() -> None:
    with pytest.raises(NeedsOcr):
        read(page(comment), name="a.pdf")
