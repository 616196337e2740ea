"""What each format gives as text, and what each bad document is told."""

from __future__ import annotations

import docx
import pytest

from tests.tools.retrieval.making import PAGE, archive, pdf, saved, word
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import (
    DamagedDocument,
    EmptyDocument,
    EncryptedDocument,
    NeedsOcr,
    ParseError,
    TooLarge,
    UnsupportedType,
)
from tools.retrieval.parse import Limits, parse


def read(data: bytes, *, name: str = "file", **limits: int) -> Parsed:
    return parse(data, name=name, limits=Limits(**limits))


def headings(parsed: Parsed) -> list[tuple[str, ...]]:
    return [section.heading_path for section in parsed.sections]


def test_a_pdf_gives_its_pages() -> None:
    parsed = read(pdf("First page.", "", "Third page.", title="Rules"), name="rules.pdf")
    assert [(one.page, one.text) for one in parsed.sections] == [
        (1, "First page."),
        (3, "Third page."),
    ]
    assert (parsed.title, parsed.pages, parsed.pages_without_text) == ("Rules", 3, (2,))


def test_a_pdf_without_text_needs_ocr() -> None:
    with pytest.raises(NeedsOcr, match=r"^scan\.pdf: holds only images, no text; run OCR"):
        read(pdf("", ""), name="scan.pdf")


def test_a_pdf_with_a_password_is_refused() -> None:
    with pytest.raises(EncryptedDocument, match=r"^r\.pdf: encrypted; remove the password and"):
        read(pdf("Secret.", password="x"), name="r.pdf")


def test_a_pdf_cut_short_is_damaged() -> None:
    whole = pdf("First page.")
    with pytest.raises(DamagedDocument, match=r"^r\.pdf: .*cut short or broken"):
        read(whole[: len(whole) // 3], name="r.pdf")


def test_a_pdf_with_too_many_pages_is_refused() -> None:
    with pytest.raises(TooLarge, match="3 pages, the limit is 2"):
        read(pdf("a", "b", "c"), max_pages=2)


def test_a_docx_gives_headings_lists_tables_within_tables_and_margins() -> None:
    parsed = read(word(), name="handbook.docx")
    assert parsed.title == "Handbook"
    assert headings(parsed)[0] == ("Handbook",)
    assert ("Handbook", "Holiday") in headings(parsed)
    assert "- 30 days a year\n- Ask your lead" in parsed.text
    [table] = [section.text for section in parsed.sections if section.kind is Kind.TABLE]
    assert table.startswith("| Country | Days |\n| --- | --- |\n| France |")
    assert "regular 30, senior 32" in table
    assert "Acme internal" in parsed.text
    assert "Form HR-7" in parsed.text


def test_a_docx_is_a_docx_under_any_name() -> None:
    assert read(word(), name="notes.txt").title == "Handbook"


def test_a_docx_cut_short_is_damaged() -> None:
    with pytest.raises(DamagedDocument, match=r"^a\.docx: .*cut short or broken"):
        read(word()[:5_000], name="a.docx")


def test_a_docx_with_broken_xml_inside_is_damaged() -> None:
    data = archive(word__document_dot_xml=b"<w:document", **{"[Content_Types]_dot_xml": b"<T"})
    with pytest.raises(DamagedDocument, match=r"^a\.docx: "):
        read(data, name="a.docx")


def test_a_docx_that_unpacks_to_too_much_is_refused_early() -> None:
    bomb = archive(word__document_dot_xml=b" " * 20_000_000)
    assert len(bomb) < 100_000
    with pytest.raises(TooLarge, match=r"^bomb\.docx: unpacks to over 1\d MB"):
        read(bomb, name="bomb.docx")
    with pytest.raises(TooLarge):
        read(word(), max_unpacked=10_000)


def test_an_empty_docx_holds_no_text() -> None:
    with pytest.raises(EmptyDocument):
        read(saved(docx.Document()), name="a.docx")


def test_an_html_page_gives_its_content_without_navigation() -> None:
    parsed = read(PAGE.encode(), name="page.html")
    assert parsed.title == "Handbook - Acme"
    assert parsed.text == (
        "Handbook\n\nWelcome to the house.\n\nHoliday\n\n- 30 days a year\n- Ask your lead\n\n"
        "| Country | Days |\n| --- | --- |\n| France | 30 |\n\nline one\n  line two"
    )
    assert [(one.kind, one.heading_path) for one in parsed.sections] == [
        (Kind.PROSE, ("Handbook",)),
        (Kind.PROSE, ("Handbook", "Holiday")),
        (Kind.TABLE, ("Handbook", "Holiday")),
        (Kind.CODE, ("Handbook", "Holiday")),
    ]


def test_html_is_known_without_its_name_and_in_its_declared_encoding() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Привет мир</p></body></html>'
    assert read(page.encode("cp1251"), name="page").text == "Привет мир"


def test_cells_over_several_columns_and_rows_shift_no_others() -> None:
    page = """<html><table><caption>Table 1: x</caption><tr><th rowspan=2>State<th colspan=2>Pawn
    <th rowspan=999999>T</tr><tr><td>Hand<td>Long</tr><tr><td>a<td>1<td colspan=-1>2</table>"""
    parsed = read(page.encode())
    assert parsed.sections[-1].text == (
        "| State | Pawn |  | T |\n| --- | --- | --- | --- |\n|  | Hand | Long |  |\n"
        "| a | 1 | 2 |  |"
    )
    assert parsed.sections[-1].caption == "Table 1: x"
    assert parsed.text.startswith("Table 1: x\n\n|")


def test_a_layout_table_is_read_as_text() -> None:
    page = "<table><tr><td><h2>Head</h2><p>Body text.</p></td><td><p>More.</p></td></tr></table>"
    parsed = read(f"<html>{page}</html>".encode())
    assert [section.kind for section in parsed.sections] == [Kind.PROSE]
    assert "Body text." in parsed.text
    assert "More." in parsed.text


def test_a_page_that_is_all_navigation_is_read_as_it_stands() -> None:
    assert read(b"<html><body><nav>Home Products</nav></body></html>").text == "Home Products"


def test_a_page_without_text_is_empty() -> None:
    with pytest.raises(EmptyDocument, match="the page holds no text"):
        read(b"<html><body><script>draw()</script></body></html>", name="app.html")


def test_deeply_nested_html_is_read() -> None:
    page = "<html><body>" + "<div>" * 5_000 + "deep" + "</div>" * 5_000 + "</body></html>"
    assert read(page.encode()).text == "deep"


def test_markdown_gives_headings_tables_and_code_verbatim() -> None:
    source = (
        "---\ntitle: The book\n---\n# Hand`book`\n\nWelcome *home*.\n\nHoliday\n-------\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\n# no heading\n```\n"
    )
    parsed = read(source.encode(), name="a.md")
    assert parsed.title == "The book"
    assert [(one.kind, one.heading_path, one.text) for one in parsed.sections] == [
        (Kind.PROSE, ("Handbook",), "Welcome *home*."),
        (Kind.TABLE, ("Handbook", "Holiday"), "| a | b |\n|---|---|\n| 1 | 2 |"),
        (Kind.CODE, ("Handbook", "Holiday"), "```py\n# no heading\n```"),
    ]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Größe – 「日本」"),
        ("utf-8-sig", "Größe"),
        ("utf-16", "Größe und Maß"),
        ("utf-16-le", "Groesse and more"),
        ("utf-32", "Größe"),
        ("utf-32-be", "Größe und"),
        ("cp1252", "Größe “quoted” €"),
        ("cp1252", "Das Fräulein aß früh Käse. El niño comió paella. L'été était très chaud ici."),
        ("shift_jis", "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 2),
        ("cp1251", "Съешь же ещё этих мягких французских булок да выпей чаю. " * 2),
    ],
)
def test_text_is_read_in_its_encoding(encoding: str, text: str) -> None:
    assert read(text.encode(encoding), name="a.txt").text == text.strip()


def test_source_code_is_kept_line_by_line() -> None:
    parsed = read(b"def f():\r\n    return 1\r\n", name="a.py")
    assert [(one.kind, one.text) for one in parsed.sections] == [
        (Kind.CODE, "def f():\n    return 1")
    ]


@pytest.mark.parametrize(
    ("data", "name", "error", "says"),
    [
        (b"", "a.pdf", EmptyDocument, "holds no text"),
        (b" \n\t ", "a.txt", EmptyDocument, "holds no text"),
        (bytes(range(256)) * 9, "a.pdf", DamagedDocument, "is not a PDF file inside"),
        (bytes(range(256)) * 9, "a.bin", UnsupportedType, "binary data, not read here"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "a.txt", UnsupportedType, "a PNG image"),
        (archive(xl__workbook_dot_bin=b"x"), "a.xlsb", UnsupportedType, "an Excel workbook"),
        (archive(xl__workbook_dot_xml=b"x"), "a.xlsx", DamagedDocument, "cannot be read as XLSX"),
        (archive(ppt__a_dot_xml=b"x"), "a.pptx", UnsupportedType, "a PowerPoint file"),
        (archive(a_dot_txt=b"x"), "a.zip", UnsupportedType, "an archive"),
        (b"\xd0\xcf\x11\xe0" + bytes(99), "a.doc", UnsupportedType, "old binary kind"),
        (
            b"\xd0\xcf\x11\xe0" + "EncryptedPackage".encode("utf-16-le"),
            "a.docx",
            EncryptedDocument,
            "remove the password",
        ),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line(
    data: bytes, name: str, error: type[ParseError], says: str
) -> None:
    with pytest.raises(error) as raised:
        read(data, name=name)
    message = str(raised.value)
    assert message.startswith(f"{name}: ")
    assert says in message
    assert "\n" not in message
    if error is UnsupportedType:
        assert "PDF, DOCX, PPTX, XLSX, CSV, HTML, Markdown" in message


def test_a_text_under_a_pdfs_name_is_read_as_text() -> None:
    assert read(b"Plain words.", name="a.pdf").text == "Plain words."


def test_a_document_over_the_size_limit_is_refused() -> None:
    with pytest.raises(TooLarge, match=r"the limit is 0\.0 MB"):
        read(b"a" * 11, max_bytes=10)
