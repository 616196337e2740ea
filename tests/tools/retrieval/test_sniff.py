"""Which format a document is in."""

from __future__ import annotations

import pytest

from tools.retrieval.sniff import Format, sniff

HTML = b"<!doctype html><title>x</title><p>Hello."


@pytest.mark.parametrize(
    ("name", "data", "found"),
    [
        ("https://a.example/index.php?page=b.py", HTML, Format.HTML),
        ("https://a.example/", HTML, Format.HTML),
        ("https://a.md/", b"plain", Format.TEXT),
        ("https://a.example/README.md#x", b"# Hello", Format.MARKDOWN),
        ("https://a.example/x.py?raw=1", b"x = 1", Format.CODE),
        ("index.php", HTML, Format.CODE),
    ],
)
def test_a_page_is_not_taken_for_the_program_that_made_it(
    name: str, data: bytes, found: Format
) -> None:
    assert sniff(data, name=name) is found


PAGE = b"%PDF-1.4\n1 0 obj\nendobj\nstartxref\n9\n%%EOF\n"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (PAGE, Format.PDF),
        (b"\xef\xbb\xbf\r\n" + PAGE, Format.PDF),
        (b"HTTP/1.1 200 OK\r\n\r\n" + PAGE, Format.PDF),
        (b"junk\r" + PAGE.replace(b"\n", b"\r"), Format.PDF),
        (b"\x1b\0junk" + PAGE[:20], Format.PDF),
        (b"# Formats\n\nA PDF begins with %PDF-1.7.", Format.MARKDOWN),
    ],
)
def test_a_text_that_speaks_of_pdfs_is_none(data: bytes, found: Format) -> None:
    assert sniff(data, name="a.md") is found
