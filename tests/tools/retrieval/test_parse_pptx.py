"""Decks as PowerPoint really writes them: charts of every kind, equations, breaks within lines."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import pptx
import pptx.chart.data
import pytest
from lxml import etree
from pptx.enum.chart import XL_CHART_TYPE
from pptx.opc.package import Part
from pptx.opc.packuri import PackURI

from tests.tools.retrieval.making import saved
from tests.tools.retrieval.test_parse import read
from tests.tools.retrieval.test_parse_docx import rewritten

# Untyped.
DATA: Any = pptx.chart.data
EQUATION = (
    '<a14:m xmlns:a14="http://schemas.microsoft.com/office/drawing/2010/main"'
    ' xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math"><m:oMath><m:f>'
    "<m:num><m:r><m:t>a</m:t></m:r></m:num><m:den><m:r><m:t>b</m:t></m:r></m:den></m:f>"
    "</m:oMath></a14:m>"
)
CHOICES = (
    '<mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
    '<mc:Choice Requires="a14"/><mc:Fallback/></mc:AlternateContent>'
)


def slide() -> tuple[Any, Any]:
    made = pptx.Presentation()
    return made, made.slides.add_slide(made.slide_layouts[6])


def chart(kind: XL_CHART_TYPE, data: Any, *, other: bytes = b"") -> list[str]:
    """The lines of a slide with the chart; its plot is renamed to an ``other`` one."""
    made, on = slide()
    shown = on.shapes.add_chart(kind, 0, 0, 9, 9, data).chart
    shown.has_title = True
    shown.chart_title.text_frame.text = "Sales"
    shown.value_axis.has_title = True
    shown.value_axis.axis_title.text_frame.text = "million €"
    data = saved(made)
    parsed = read(rewritten(data, str, b"c:barChart", other) if other else data, name="a.pptx")
    return parsed.text.splitlines()[2:]


def bars(*categories: Any) -> Any:
    data = DATA.CategoryChartData(number_format="0%")
    data.categories = categories
    data.add_series("Share", [0.125, None])
    return data


@pytest.mark.parametrize("other", [b"", b"c:bar3DChart", b"c:stockChart", b"c:ofPieChart"])
def test_charts_of_every_kind_give_their_numbers(other: bytes) -> None:
    lines = chart(XL_CHART_TYPE.COLUMN_CLUSTERED, bars("north", "south"), other=other)
    assert lines == [
        "Sales",
        "million €",
        "",
        "|  | Share |",
        "| --- | --- |",
        "| north | 12.5% |",
        "| south |  |",
    ]


def test_categories_are_dates_or_stand_in_groups() -> None:
    dates = bars(datetime.date(2026, 3, 1), datetime.date(2026, 4, 1))
    assert chart(XL_CHART_TYPE.COLUMN_CLUSTERED, dates)[-2:] == [
        "| 2026-03-01 | 12.5% |",
        "| 2026-04-01 |  |",
    ]
    grouped = DATA.CategoryChartData()
    for country, towns in {"USA": ["New York", "Boston"], "Mali": ["Timbuktu"]}.items():
        group = grouped.add_category(country)
        for town in towns:
            group.add_sub_category(town)
    grouped.add_series("Share", [1, 2, 3])
    assert chart(XL_CHART_TYPE.COLUMN_CLUSTERED, grouped)[-3:] == [
        "| USA / New York | 1 |",
        "| USA / Boston | 2 |",
        "| Mali / Timbuktu | 3 |",
    ]


def test_points_give_their_places_and_sizes() -> None:
    points = DATA.XyChartData()
    points.add_series("A").add_data_point(1.5, 2.5)
    points.add_series("B").add_data_point(3, 4)
    assert chart(XL_CHART_TYPE.XY_SCATTER, points)[-4:] == [
        "|  | x | y |",
        "| --- | --- | --- |",
        "| A | 1.5 | 2.5 |",
        "| B | 3 | 4 |",
    ]
    bubbles = DATA.BubbleChartData()
    bubbles.add_series("A").add_data_point(1, 2, 30)
    assert chart(XL_CHART_TYPE.BUBBLE, bubbles)[-3:] == [
        "|  | x | y | size |",
        "| --- | --- | --- | --- |",
        "| A | 1 | 2 | 30 |",
    ]


def test_a_box_with_an_equation_is_read_once_with_what_stands_beside_it() -> None:
    made, on = slide()
    box = on.shapes.add_textbox(0, 0, 9, 9)
    box.text_frame.text = "The share is "
    box.text_frame.paragraphs[0]._p.append(etree.fromstring(EQUATION))
    shape = box._element
    choices = etree.fromstring(CHOICES)
    shape.getparent().replace(shape, choices)
    for choice in choices:
        choice.append(copy.deepcopy(shape))
    assert read(saved(made), name="a.pptx").sections[0].text == "The share is a/b"


def test_breaks_part_words_and_superscripts_make_no_other_number() -> None:
    made, on = slide()
    on.notes_slide.notes_text_frame.text = "one\vtwo"
    paragraph = on.shapes.add_textbox(0, 0, 9, 9).text_frame.paragraphs[0]
    for text, baseline in (("10", "0"), ("6", "30000"), (" of CO", "0"), ("2", "-25000")):
        run = paragraph.add_run()
        run.text = text
        run.font._element.set("baseline", baseline)
    assert read(saved(made), name="a.pptx").sections[0].text == (
        "10^6 of CO2\n\nSpeaker notes: one two"
    )


@pytest.mark.parametrize("kind", [b"slideshow", b"template"])
def test_a_slide_show_and_a_template_are_read(kind: bytes) -> None:
    made, on = slide()
    on.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "Words."
    main = b"presentationml.%s.main+xml"
    data = rewritten(saved(made), str, main % b"presentation", main % kind)
    assert read(data, name="a.ppsx").sections[0].text == "Words."


OLD = (
    (
        '<p:cmLst xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main">'
        '<p:cm authorId="0" idx="1"><p:pos x="1" y="1"/><p:text>Is 12 % right?</p:text></p:cm>'
        "</p:cmLst>"
    ),
    (
        '<p:cmAuthorLst xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main">'
        '<p:cmAuthor id="0" name="Ada" initials="A" lastIdx="1" clrIdx="0"/></p:cmAuthorLst>'
    ),
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/comments",
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships/commentAuthors",
)
_BODY = "<p188:txBody><a:bodyPr/><a:p><a:r><a:t>{}</a:t></a:r></a:p></p188:txBody>"
_NEW = (
    'xmlns:p188="http://schemas.microsoft.com/office/powerpoint/2018/8/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main"'
)
NEW = (
    (
        f'<p188:cmLst {_NEW}><p188:cm id="1" authorId="0"><p188:replyLst>'
        f'<p188:reply id="2" authorId="1">{_BODY.format("Yes, it is.")}</p188:reply>'
        "</p188:replyLst>"
        f"{_BODY.format('Is 12 % right?')}</p188:cm></p188:cmLst>"
    ),
    (
        f'<p188:authorLst {_NEW}><p188:author id="0" name="Ada"/><p188:author id="1" name="Bob"/>'
        "</p188:authorLst>"
    ),
    "http://schemas.microsoft.com/office/2018/10/relationships/comments",
    "http://schemas.microsoft.com/office/2018/10/relationships/authors",
)


def commented(made: Any, on: Any, written: tuple[str, str, str, str]) -> str:
    comments, authors, kind, of_authors = written
    for part, name, xml, relation in (
        (on.part, "comments/c1", comments, kind),
        (made.part, "authors", authors, of_authors),
    ):
        made_part = Part(PackURI(f"/ppt/{name}.xml"), "application/xml", part.package, xml.encode())
        part.relate_to(made_part, relation)
    return read(saved(made), name="a.pptx").text


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (OLD, ["Comment by Ada: Is 12 % right?"]),
        (NEW, ["Comment by Ada: Is 12 % right?", "Comment by Bob: Yes, it is."]),
    ],
    ids=["old", "new"],
)
def test_comments_and_their_answers_stand_behind_the_slide(
    written: tuple[str, str, str, str], told: list[str]
) -> None:
    made, on = slide()
    on.shapes.add_textbox(0, 0, 9, 9).text_frame.text = "12 % of all"
    lines = [line for line in commented(made, on, written).splitlines() if line]
    assert lines[-1 - len(told) :] == ["12 % of all", *told]


def test_a_slide_of_comments_alone_is_read() -> None:
    made, on = slide()
    assert commented(made, on, OLD).endswith("Comment by Ada: Is 12 % right?")
