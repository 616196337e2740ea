"""Workbooks, presentations and what a DOCX hides in its corners."""

from __future__ import annotations

import datetime
import io

import docx
import openpyxl
import PIL.Image
import pptx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from tests.tools.retrieval.making import archive, archive_with, deck, saved, word, workbook
from tests.tools.retrieval.test_parse import headings, read
from tools.retrieval.documents import Kind
from tools.retrieval.errors import DamagedDocument, EmptyDocument, NeedsOcr, ParseError, TooLarge
from tools.retrieval.parse_xlsx import shown


def test_a_workbook_gives_its_visible_sheets_as_tables() -> None:
    parsed = read(workbook(), name="sales.xlsx")
    assert [(one.kind, one.heading_path, one.caption) for one in parsed.sections] == [
        (Kind.PROSE, ("Sales",), ""),
        (Kind.TABLE, ("Sales",), "Sales by country"),
        (Kind.TABLE, ("Sales",), ""),
        (Kind.PROSE, ("Hidden sheets",), ""),
    ]
    assert parsed.sections[1].text == (
        "| Country | Day | Share | Sum |\n| --- | --- | --- | --- |\n"
        "| France | 2026-03-01 | 12.5% | 0.3 |\n"
        "| Norway | 2026-03-02 09:30:00 | 50% | =SUM(A1:A2) |"
    )
    assert parsed.sections[2].text == "| Person | Paid |\n| --- | --- |\n| Ada | TRUE |"
    assert parsed.text.endswith("Not read, because they are hidden: Secret")
    assert "hidden words" not in parsed.text


def test_a_formulas_saved_value_stands_for_it() -> None:
    book = archive_with(
        saved(openpyxl.Workbook()),
        "xl/worksheets/sheet1.xml",
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        b'<row r="1"><c r="A1"><v>20</v></c><c r="B1"><f>A1*2</f><v>40</v></c></row>'
        b'<row r="2"><c r="A2" t="str"><f>C1&amp;""</f><v></v></c><c r="B2"><f>A1</f></c></row>'
        b"</sheetData></worksheet>",
    )
    assert read(book, name="a.xlsx").text == "Sheet\n\n| 20 | 40 |\n| --- | --- |\n|  | =A1 |"


@pytest.mark.parametrize(
    "row",
    [
        b'<row r="99999999999"><c r="A99999999999"><v>1</v></c></row>',
        b'<row r="1048577"><c><v>1</v></c></row>',
        b'<row><c r="XFD1"><v>1</v></c></row>' * 200,
    ],
)
def test_an_endless_sheet_is_refused(row: bytes) -> None:
    sheet = (
        b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
        + row
        + b"</sheetData></worksheet>"
    )
    book = archive_with(saved(openpyxl.Workbook()), "xl/worksheets/sheet1.xml", sheet)
    with pytest.raises(TooLarge, match=r"^a\.xlsx: more than \d+ cells or 1048576 rows; split it"):
        read(book, name="a.xlsx", max_cells=20_000)


def test_an_empty_workbook_holds_nothing() -> None:
    with pytest.raises(EmptyDocument):
        read(saved(openpyxl.Workbook()), name="a.xlsx")


@pytest.mark.parametrize(
    ("value", "number_format", "text"),
    [
        (None, None, ""),
        (3, "General", "3"),
        (2.50, "0.00", "2.5"),
        (1e21, None, "1e+21"),
        (-0.07, "0.00%", "-7%"),
        (-0.07, '0.0%_);\\(0.0%\\);"-"', "-7%"),
        (0.5, '0.0" % of all"', "0.5"),
        (0.5, "0.0\\%;0%", "0.5"),
        (datetime.timedelta(hours=30, minutes=5), "[h]:mm", "30:05:00"),
        (1234, "00000", "01234"),
        (1234.5, "00000", "1234.5"),
        (7, "00", "07"),
        (datetime.time(9, 5), None, "09:05:00"),
        (datetime.datetime.fromisoformat("2026-01-02"), None, "2026-01-02"),
        (False, None, "FALSE"),
        ("#DIV/0!", None, "#DIV/0!"),
    ],
)
def test_a_cell_reads_as_people_read_it(value: object, number_format: str, text: str) -> None:
    assert shown(value, number_format) == text


def test_a_deck_gives_slides_in_order_with_titles_tables_and_notes() -> None:
    parsed = read(deck(), name="plan.pptx")
    assert [(one.page, one.heading_path, one.kind, one.text) for one in parsed.sections] == [
        (1, ("The plan",), Kind.PROSE, "For everybody"),
        (2, ("Steps",), Kind.PROSE, "- Look\n  - twice\n\nSpeaker notes: Say it slowly."),
        (3, ("Costs",), Kind.TABLE, "| Item | Price |\n| --- | --- |\n| Pen | 3 € |"),
    ]
    assert (parsed.title, parsed.pages, parsed.pages_without_text) == ("The plan", 4, ())


def test_slides_of_pictures_need_ocr() -> None:
    made, out = pptx.Presentation(), io.BytesIO()
    PIL.Image.new("L", (9, 9)).save(out, "PNG")
    for _ in range(2):
        slide = made.slides.add_slide(made.slide_layouts[6])
        slide.shapes.add_picture(io.BytesIO(out.getvalue()), 0, 0)
    with pytest.raises(NeedsOcr, match=r"^a\.pptx: holds only images"):
        read(saved(made), name="a.pptx")
    slide.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "Words."
    assert read(saved(made), name="a.pptx").pages_without_text == (1,)


def test_a_deck_of_too_many_slides_is_refused() -> None:
    with pytest.raises(TooLarge, match="4 slides, the limit is 3"):
        read(deck(), max_pages=3)


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (word(), "word/document.xml"),
        (workbook(), "xl/workbook.xml"),
        (deck(), "ppt/slides/slide1.xml"),
    ],
)
def test_xml_that_declares_entities_is_refused(made: bytes, part: str) -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><x>&b;</x>'
    for xml in (bomb, bomb.decode().encode("utf-16")):
        with pytest.raises(DamagedDocument, match="declares a document type"):
            read(archive_with(made, part, xml), name="bomb")


@pytest.mark.parametrize(
    ("made", "part"),
    [
        (word(), "word/document.xml"),
        (workbook(), "xl/worksheets/sheet1.xml"),
        (deck(), "ppt/slides/slide1.xml"),
    ],
)
def test_xml_nested_without_end_is_an_error_with_a_name(made: bytes, part: str) -> None:
    with pytest.raises(ParseError, match=r"^deep: "):
        read(archive_with(made, part, b"<a>" * 100_000 + b"</a>" * 100_000), name="deep")


def test_an_archive_of_too_many_files_is_refused() -> None:
    entries = {f"f{number}": b"" for number in range(20_001)}
    with pytest.raises(TooLarge, match="20002 files inside"):
        read(archive(word__document_dot_xml=b"<w/>", **entries), name="a.docx")


def test_a_docx_gives_comments_controls_and_text_boxes_once() -> None:
    document = docx.Document()
    document.add_heading("Terms", 1)
    paragraph = document.add_paragraph("Plain words.")
    document.add_comment(paragraph.runs[0], text="Check this.", author="Ada")
    box = "<w:r><w:t>In a box.</w:t></w:r>"
    text = f"<w:txbxContent><w:p>{box}</w:p></w:txbxContent>"
    namespaces = (
        nsdecls("w")
        + ' xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'
        + ' xmlns:v="urn:schemas-microsoft-com:vml"'
    )
    body = document.element.body
    body.insert(
        2,
        parse_xml(
            f"<w:p {namespaces}><w:r><mc:AlternateContent><mc:Choice>{text}</mc:Choice>"
            f"<mc:Fallback>{text}</mc:Fallback></mc:AlternateContent></w:r></w:p>"
        ),
    )
    control = "<w:sdtContent><w:p><w:r><w:t>In a control.</w:t></w:r></w:p></w:sdtContent>"
    body.insert(3, parse_xml(f"<w:sdt {namespaces}>{control}</w:sdt>"))
    table = document.add_table(rows=2, cols=2)
    for place, words in enumerate(("Key", "Value", "a", "b")):
        table.cell(place // 2, place % 2).text = words
    document.add_paragraph("Table 1: keys", style="Caption")
    parsed = read(saved(document), name="a.docx")
    assert parsed.text.count("In a box.") == 1
    assert "In a control." in parsed.text
    assert "Comment by Ada: Check this." in parsed.text
    assert [one.caption for one in parsed.sections if one.kind is Kind.TABLE] == ["Table 1: keys"]
    assert headings(parsed)[0] == ("Terms",)
