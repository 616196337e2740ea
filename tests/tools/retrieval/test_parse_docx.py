"""DOCX files as Word really writes them: nothing in them is lost, doubled or shifted."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import docx
import pytest
from docx.enum.style import WD_STYLE_TYPE
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls

from tests.tools.retrieval.making import saved
from tests.tools.retrieval.test_parse import read
from tools.retrieval.sniff import Format

MAIN = b"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
RUN = "<w:r><w:t>{}</w:t></w:r>"
CELL = "<w:tc>{}<w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"


def table(*rows: str) -> str:
    """The text of a DOCX that holds a table of these rows alone."""
    document = docx.Document()
    made = document.add_table(rows=0, cols=3)
    for row in rows:
        made._tbl.append(parse_xml(row.replace(">", f" {nsdecls('w')}>", 1)))
    return read(saved(document), name="a.docx").text


def rewritten(data: bytes, change: Callable[[str], str], old: bytes, new: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as given, zipfile.ZipFile(out, "w") as made:
        for name in given.namelist():
            made.writestr(change(name), given.read(name).replace(old, new))
    return out.getvalue()


def test_text_that_was_moved_stands_where_it_was_moved_to() -> None:
    document = docx.Document()
    for words, mark in (("From here.", "moveFrom"), ("To here.", "moveTo")):
        moved = f'<w:{mark} {nsdecls("w")} w:id="1" w:author="a">{RUN.format(" Moved.")}</w:{mark}>'
        document.add_paragraph(words)._p.append(parse_xml(moved))
    assert read(saved(document), name="a.docx").text == "From here.\n\nTo here. Moved."


def test_rows_and_cells_in_content_controls_are_read() -> None:
    cells = CELL.format("", "b") + CELL.format("", "c")
    control = "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>"
    assert table(
        f"<w:tr>{CELL.format('', 'a')}{control.format(cells)}</w:tr>",
        control.format(f"<w:tr>{CELL.format('', '1')}{control.format(cells)}</w:tr>"),
    ).splitlines() == ["| a | b | c |", "| --- | --- | --- |", "| 1 | b | c |"]


def test_cells_stand_in_their_columns() -> None:
    begins = '<w:tcPr><w:vMerge w:val="restart"/></w:tcPr>'
    goes_on = "<w:tcPr><w:vMerge/></w:tcPr>"
    wide = '<w:tcPr><w:gridSpan w:val="2"/></w:tcPr>'
    assert table(
        f"<w:tr>{CELL.format(goes_on, 'a')}{CELL.format('', 'b')}{CELL.format('', 'c')}</w:tr>",
        f"<w:tr>{CELL.format(begins, '1')}{CELL.format(wide, '2')}</w:tr>",
        f"<w:tr>{CELL.format(goes_on, '')}{CELL.format('', '3')}{CELL.format('', '4')}</w:tr>",
        '<w:tr><w:trPr><w:gridBefore w:val="1"/></w:trPr>'
        f"{CELL.format('', '5')}{CELL.format('', '6')}</w:tr>",
    ).splitlines() == [
        "| a | b | c |",
        "| --- | --- | --- |",
        "| 1 | 2 |  |",
        "| 1 | 3 | 4 |",
        "|  | 5 | 6 |",
    ]


def test_a_cell_over_thousands_of_rows_is_read() -> None:
    goes_on = CELL.format("<w:tcPr><w:vMerge/></w:tcPr>", "") + CELL.format("", "x")
    assert table(*[f"<w:tr>{goes_on}</w:tr>"] * 1_500).count("| x |") == 1_500


def test_a_superscript_makes_no_other_number() -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("The mass is 10")
    for text, raised in (("6", True), (" kg, the 5", False), ("th", True)):
        paragraph.add_run(text).font.superscript = raised
    assert read(saved(document), name="a.docx").text == "The mass is 10^6 kg, the 5th"


def test_a_heading_is_one_by_its_outline_or_by_what_its_style_is_made_from() -> None:
    document = docx.Document()
    styles = document.styles
    for name, base, level in (
        ("Acme part", "Heading 2", None),
        ("Acme contents", "Heading 1", "9"),
        ("Acme rule", "Normal", "2"),
    ):
        made = styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
        made.base_style = styles[base]
        if level is not None:
            made.element.get_or_add_pPr().append(outline(level))
    for words, style in (
        ("One", "Heading 1"),
        ("Two", "Acme part"),
        ("Three", "Acme rule"),
        ("Contents", "Acme contents"),
    ):
        document.add_paragraph(words, style=style)
    document.add_paragraph("Last")._p.get_or_add_pPr().append(outline("0"))
    document.add_paragraph("Words.")
    assert [
        (one.heading_path, one.text) for one in read(saved(document), name="a.docx").sections
    ] == [(("One", "Two", "Three"), "Contents"), (("Last",), "Words.")]


def outline(level: str) -> Any:
    return parse_xml(f'<w:outlineLvl {nsdecls("w")} w:val="{level}"/>')


@pytest.mark.parametrize(
    "kind",
    [
        b"application/vnd.ms-word.document.macroEnabled.main+xml",
        b"application/vnd.openxmlformats-officedocument.wordprocessingml.template.main+xml",
    ],
)
def test_a_template_and_a_document_with_macros_are_read(kind: bytes) -> None:
    document = docx.Document()
    document.add_paragraph("Words.")
    made = rewritten(saved(document), str, MAIN, kind)
    assert read(made, name="a.docm").text == "Words."


def test_a_docx_of_word_on_the_web_is_one() -> None:
    document = docx.Document()
    document.add_paragraph("Words.")
    made = rewritten(
        saved(document),
        lambda name: name.replace("document.xml", "document2.xml"),
        b"word/document.xml",
        b"word/document2.xml",
    )
    parsed = read(made, name="a.docx")
    assert (parsed.text, parsed.media_type) == ("Words.", Format.DOCX)


def numbered() -> docx.document.Document:
    """A document that has a numbering of 1., 1.1, (a), and the same again from 7. on."""
    document = docx.Document()
    root = document.part.numbering_part.element
    levels = (("decimal", "%1."), ("decimal", "%1.%2"), ("lowerLetter", "(%3)"))
    made = "".join(
        f'<w:lvl w:ilvl="{at}"><w:start w:val="1"/><w:numFmt w:val="{kind}"/>'
        f'<w:lvlText w:val="{text}"/></w:lvl>'
        for at, (kind, text) in enumerate(levels)
    )
    root.insert(
        0, parse_xml(f'<w:abstractNum {nsdecls("w")} w:abstractNumId="90">{made}</w:abstractNum>')
    )
    restart = '<w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride>'
    for number, more in (("90", ""), ("91", restart)):
        root.append(
            parse_xml(
                f'<w:num {nsdecls("w")} w:numId="{number}"><w:abstractNumId w:val="90"/>{more}'
                "</w:num>"
            )
        )
    return document


def with_number(paragraph: Any, level: int, *, number: str = "90") -> None:
    inner = f'<w:ilvl w:val="{level}"/><w:numId w:val="{number}"/>'
    paragraph._p.get_or_add_pPr().append(parse_xml(f"<w:numPr {nsdecls('w')}>{inner}</w:numPr>"))


def test_headings_and_clauses_have_the_numbers_that_word_shows() -> None:
    document = numbered()
    for level, text in ((0, "Terms"), (1, "Notice"), (1, "Fees"), (0, "Law")):
        with_number(document.add_heading(text, level + 1), level)
        if text == "Fees":
            for clause in ("Due at once.", "With interest."):
                with_number(document.add_paragraph(clause), 2)
    with_number(document.add_paragraph("Begins anew."), 0, number="91")
    with_number(document.add_paragraph("Goes on."), 0, number="91")
    with_number(document.add_paragraph("Has none."), 0, number="0")
    parsed = read(saved(document), name="a.docx")
    assert [line for line in parsed.text.splitlines() if line] == [
        "1. Terms",
        "1.1 Notice",
        "1.2 Fees",
        "(a) Due at once.",
        "(b) With interest.",
        "2. Law",
        "7. Begins anew.",
        "8. Goes on.",
        "Has none.",
    ]
    assert parsed.sections[1].heading_path == ("1. Terms", "1.2 Fees")


def test_hidden_text_is_not_read() -> None:
    document = docx.Document()
    paragraph = document.add_paragraph("All see this.")
    paragraph.add_run(" Nobody sees this.").font.hidden = True
    shown = paragraph.add_run(" And this.")
    shown.font.hidden = False
    assert read(saved(document), name="a.docx").text == "All see this. And this."


def hides(document: Any, name: str, kind: WD_STYLE_TYPE, *, base: str = "", on: bool = True) -> str:
    style = document.styles.add_style(name, kind)
    if base:
        style.base_style = document.styles[base]
    else:
        style.font.hidden = on
    return name


def test_text_that_a_style_hides_is_not_read() -> None:
    document = docx.Document()
    run = hides(document, "Secret", WD_STYLE_TYPE.CHARACTER)
    deeper = hides(document, "Deeper", WD_STYLE_TYPE.CHARACTER, base=run)
    whole = hides(document, "Note to self", WD_STYLE_TYPE.PARAGRAPH)
    shown = hides(document, "Shown", WD_STYLE_TYPE.PARAGRAPH, on=False)
    paragraph = document.add_paragraph("All see this.", style=shown)
    for style in (run, deeper):
        paragraph.add_run(" Nobody sees this.", style=style)
    told = paragraph.add_run(" But this.", style=run)
    told.font.hidden = False
    hidden = document.add_paragraph("Nor this.", style=whole)
    # A switch twice is none: Word shows it.
    hidden.add_run("Twice hidden is seen.", style=run)
    cell = document.add_table(rows=1, cols=1).cell(0, 0)
    cell.paragraphs[0].add_run("seen")
    cell.paragraphs[0].add_run(" unseen", style=run)
    text = read(saved(document), name="a.docx").text
    assert [line for line in text.splitlines() if line] == [
        "All see this. But this.",
        "Twice hidden is seen.",
        "| seen |",
        "| --- |",
    ]


@pytest.mark.parametrize("by_style", [False, True], ids=["paragraphs", "the table's style"])
def test_numbered_rows_of_a_table_have_their_numbers(by_style: bool) -> None:
    document = numbered()
    table = document.add_table(rows=0, cols=2)
    if by_style:
        style = document.styles.add_style("Numbered rows", WD_STYLE_TYPE.TABLE)
        inner = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="90"/></w:numPr>'
        style.element.append(parse_xml(f"<w:pPr {nsdecls('w')}>{inner}</w:pPr>"))
        table.style = style
    for words in ("Scope", "Fees"):
        first, second = table.add_row().cells
        second.text = words
        if by_style:
            with_number(second.paragraphs[0], 0, number="0")
        else:
            with_number(first.paragraphs[0], 0)
    with_number(document.add_paragraph("Behind it."), 0)
    text = read(saved(document), name="a.docx").text
    assert "| 1. | Scope |" in text
    assert "| 2. | Fees |" in text
    assert text.endswith("3. Behind it.")
