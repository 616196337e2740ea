"""Which format a document is in, told from its bytes; the name only parts Markdown from text."""

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


class Format(StrEnum):
    """The formats that are read, by media type."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    CODE = "text/x-code"


_MARKDOWN = frozenset({".md", ".markdown", ".mdx", ".mkd"})
_CODE = frozenset(
    [
        ".py",
        ".js",
        ".ts",
        ".jsx",
        ".tsx",
        ".java",
        ".kt",
        ".c",
        ".h",
        ".cc",
        ".cpp",
        ".hpp",
        ".cs",
        ".go",
        ".rs",
        ".rb",
        ".php",
        ".swift",
        ".scala",
        ".sh",
        ".bash",
        ".sql",
        ".lua",
        ".pl",
        ".r",
        ".jl",
        ".json",
        ".jsonl",
        ".yaml",
        ".yml",
        ".toml",
        ".ini",
        ".cfg",
        ".css",
        ".xml",
        ".csv",
        ".tsv",
        ".proto",
        ".tf",
        ".dockerfile",
    ]
)
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
    suffix = _suffix(name)
    if not data.strip():
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    if b"%PDF-" in data[:1024]:
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
        if suffix in (".pdf", ".docx"):
            raise DamagedDocument(
                f"{name}: is not a {suffix[1:].upper()} file inside; get a good copy and ingest it"
            )
        raise _unsupported(name, "binary data")
    return _sniff_text(data, suffix=suffix)


def _suffix(name: str) -> str:
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
    if suffix in _CODE:
        return Format.CODE
    return Format.HTML if _HTML.match(start) else Format.TEXT


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
    if "word/document.xml" in names:
        return Format.DOCX
    for place, what in (
        ("xl/", "an Excel workbook"),
        ("ppt/", "a PowerPoint presentation"),
        ("META-INF/container.xml", "an EPUB book"),
        ("mimetype", "an OpenDocument file"),
    ):
        if any(entry.startswith(place) for entry in names):
            raise _unsupported(name, what)
    raise _unsupported(name, "an archive; unpack it first")


def _unsupported(name: str, what: str) -> UnsupportedType:
    return UnsupportedType(f"{name}: {what}, not read here; convert it to one of: {SUPPORTED}")
