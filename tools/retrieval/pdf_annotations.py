"""What stands on a PDF page above its text: fields that were filled in, and comments."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pypdfium2.raw as pdfium

_HIDDEN = pdfium.FPDF_ANNOT_FLAG_HIDDEN
_PASSWORD = 1 << 13
_WRITTEN = (
    pdfium.FPDF_FORMFIELD_TEXTFIELD,
    pdfium.FPDF_FORMFIELD_COMBOBOX,
    pdfium.FPDF_FORMFIELD_LISTBOX,
)
_TICKED = (pdfium.FPDF_FORMFIELD_CHECKBOX, pdfium.FPDF_FORMFIELD_RADIOBUTTON)
# What shows text of its own, or is shown where its field or its comment is.
_NO_COMMENTS = (pdfium.FPDF_ANNOT_WIDGET, pdfium.FPDF_ANNOT_LINK, pdfium.FPDF_ANNOT_POPUP)


def fields(page: Any, form: Any) -> list[str]:
    """A line for each field that holds something, in the page's order; ``form`` may be None."""
    if form is None:
        return []
    found: dict[str, None] = {}
    for note in _annotations(page):
        kind = pdfium.FPDFAnnot_GetFormFieldType(form, note)
        secret = pdfium.FPDFAnnot_GetFormFieldFlags(form, note) & _PASSWORD
        if kind in _TICKED and not pdfium.FPDFAnnot_IsChecked(form, note):
            continue
        if kind not in (*_WRITTEN, *_TICKED) or (secret and kind in _WRITTEN):
            continue
        value = _text(pdfium.FPDFAnnot_GetFormFieldValue, form, note)
        name = _text(pdfium.FPDFAnnot_GetFormFieldAlternateName, form, note) or _text(
            pdfium.FPDFAnnot_GetFormFieldName, form, note
        )
        if value:
            found[f"{name}: {value}"] = None
    return list(found)


def comments(page: Any) -> list[str]:
    """The words of notes, marks and stamps, with who wrote them; boxes of text as they are."""
    found = []
    for note in _annotations(page):
        kind = pdfium.FPDFAnnot_GetSubtype(note)
        words = _text(pdfium.FPDFAnnot_GetStringValue, note, b"Contents")
        if not words or kind in _NO_COMMENTS:
            continue
        author = _text(pdfium.FPDFAnnot_GetStringValue, note, b"T")
        is_box = kind == pdfium.FPDF_ANNOT_FREETEXT
        found.append(words if is_box else f"Comment{f' by {author}' if author else ''}: {words}")
    return found


def _annotations(page: Any) -> Iterator[Any]:
    for place in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        with _opened(page, place) as note:
            if note and not pdfium.FPDFAnnot_GetFlags(note) & _HIDDEN:
                yield note


@contextmanager
def _opened(page: Any, place: int) -> Iterator[Any]:
    note = pdfium.FPDFPage_GetAnnot(page.raw, place)
    try:
        yield note
    finally:
        if note:
            pdfium.FPDFPage_CloseAnnot(note)


def _text(call: Any, *about: Any) -> str:
    size = call(*about, None, 0)
    if size <= 2:
        return ""
    held = (ctypes.c_ushort * (size // 2 + 1))()
    call(*about, held, size)
    return " ".join(bytes(held)[: size - 2].decode("utf-16-le", errors="replace").split())
