"""Which format a document is in, told from its bytes; the name only tells text from text:
Markdown, CSV, source code and plain text.
"""

from __future__ import annotations

import io
import re
import zipfile
from enum import StrEnum
from pathlib import PurePath

from tools.retrieval import decode
from tools.retrieval.errors import (
    SUPPORTED,
    DamagedDocument,
    EmptyDocument,
    EncryptedDocument,
    UnsupportedType,
)
from tools.retrieval.languages import LANGUAGES


class Format(StrEnum):
    """The formats that are read, by media type."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    CSV = "text/csv"
    EML = "message/rfc822"
    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    CODE = "text/x-code"


_MARKDOWN = frozenset({".md", ".markdown", ".mdx", ".mkd"})
_CSV = frozenset({".csv", ".tsv", ".tab"})
_MAIL_HEADERS = frozenset(
    "from to subject date received message-id mime-version return-path delivered-to".split()
)
_MAIL_HEADER = re.compile(rb"([!-9;-~]{1,76}):[ \t]?[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*")
_OTHER = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
    b"{\\rtf": "an RTF document",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"\x7fELF": "a program",
    b"MZ": "a program",
    b"%!PS": "a PostScript file",
    b"SQLite format 3": "an SQLite database",
}
_HTML = re.compile(
    rb"<!doctype\s+html|<html[\s>]|<head[\s>]|<body[\s>]|<(?:div|p|h1|table|title)[\s>]", re.I
)
_ADDRESS = re.compile(r"https?://[^/?#]*(/[^?#]*)")
_PROGRAMS = frozenset({".php", ".pl"})
_PROLOGUE = re.compile(rb"\s*(?:<\?xml[^>]*>\s*|<!--.*?-->\s*)*", re.S)


def sniff(data: bytes, *, name: str) -> Format:
    """The format of ``data``.

    Raises EmptyDocument, EncryptedDocument, DamagedDocument or UnsupportedType.
    """
    suffix = suffix_of(name)
    if not data.strip():
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    if _is_pdf(data):
        return Format.PDF
    if data.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _sniff_zip(data, name=name)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        if "EncryptedPackage".encode("utf-16-le") in data:
            raise EncryptedDocument(f"{name}: encrypted; remove the password and ingest it again")
        raise _unsupported(name, "a Microsoft Office file of the old binary kind")
    for magic, what in _OTHER.items():
        if data.startswith(magic) and (len(magic) > 2 or decode.is_binary(data)):
            raise _unsupported(name, what)
    if decode.is_binary(data):
        if suffix in (".pdf", ".docx", ".pptx", ".xlsx"):
            raise DamagedDocument(
                f"{name}: is not a {suffix[1:].upper()} file inside; get a good copy and ingest it"
            )
        raise _unsupported(name, "binary data")
    return _sniff_text(data, suffix=suffix)


def _is_pdf(data: bytes) -> bool:
    """Whether ``data`` begins as a PDF does; one may begin late, and a text may speak of PDFs."""
    at = data[:1024].find(b"%PDF-")
    early = at >= 0 and not data[:at].removeprefix(b"\xef\xbb\xbf").strip(b"\0 \t\r\n")
    return early or (at > 0 and (decode.is_binary(data) or b"startxref" in data))


def suffix_of(name: str) -> str:
    """What a name ends in; of a URL its path's end, unless it names what only made the page."""
    address = _ADDRESS.match(name)
    suffix = PurePath(address[1] if address else name).suffix.lower()
    return "" if address and suffix in _PROGRAMS else suffix


def _sniff_text(data: bytes, *, suffix: str) -> Format:
    head = data[:4096].replace(b"\0", b"")
    prologue = _PROLOGUE.match(head)
    start = head[prologue.end() if prologue else 0 :].removeprefix(b"\xef\xbb\xbf").lstrip()
    if suffix in (".html", ".htm", ".xhtml"):
        return Format.HTML if b"<" in data else Format.TEXT
    if suffix in _MARKDOWN:
        return Format.MARKDOWN
    if suffix in LANGUAGES:
        return Format.CODE
    if suffix in _CSV:
        return Format.CSV
    if _is_mail(data, expected=1 if suffix == ".eml" else 3):
        return Format.EML
    return Format.HTML if _HTML.match(start) else Format.TEXT


def _is_mail(data: bytes, *, expected: int) -> bool:
    """Whether ``data`` begins with a message's headers, ``expected`` of them well known."""
    found: set[str] = set()
    place = 0
    while len(found) < expected and (match := _MAIL_HEADER.match(data, place, 65_536)):
        place = match.end()
        key = match[1].decode("ascii").lower()
        if key in _MAIL_HEADERS:
            found.add(key)
    return len(found) >= expected and not found.isdisjoint({"from", "received", "return-path"})


def _sniff_zip(data: bytes, *, name: str) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
            encrypted = any(entry.flag_bits & 1 for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        raise DamagedDocument(
            f"{name}: the archive inside is cut short or broken; get a good copy and ingest it"
        ) from None
    if encrypted:
        raise EncryptedDocument(f"{name}: encrypted; remove the password and ingest it again")
    for part, kind in (
        # Office on the web numbers them.
        (r"word/document\d*\.xml", Format.DOCX),
        (r"ppt/presentation\d*\.xml", Format.PPTX),
        (r"xl/workbook\d*\.xml", Format.XLSX),
    ):
        if any(re.fullmatch(part, entry) for entry in names):
            return kind
    for place, what in (
        ("xl/", "an Excel workbook of another kind than XLSX"),
        ("ppt/", "a PowerPoint file of another kind than PPTX"),
        ("META-INF/container.xml", "an EPUB book"),
        ("mimetype", "an OpenDocument file"),
    ):
        if any(entry.startswith(place) for entry in names):
            raise _unsupported(name, what)
    raise _unsupported(name, "an archive; unpack it first")


def _unsupported(name: str, what: str) -> UnsupportedType:
    return UnsupportedType(f"{name}: {what}, not read here; convert it to one of: {SUPPORTED}")
