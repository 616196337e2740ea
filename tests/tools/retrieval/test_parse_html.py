"""Pages of the web as they are really written: none of their content is lost or torn apart."""

from __future__ import annotations

import pytest

from tests.tools.retrieval.test_parse import read
from tools.retrieval.documents import Kind, Parsed

WORDS = "Words of this one. " * 20


def page(body: str) -> Parsed:
    return read(f"<!doctype html><html><body>{body}</body></html>".encode(), name="page.html")


def test_articles_beside_each_other_are_all_content() -> None:
    parsed = page(
        f"<article><h2>First</h2><p>{WORDS}</p></article>"
        f"<article><h2>Second</h2><p>{WORDS}</p></article><article><p>Third.</p></article>"
    )
    assert [one.heading_path for one in parsed.sections] == [("First",), ("Second",)]
    assert parsed.text.endswith("Third.")


def test_two_large_articles_in_different_places_are_both_read() -> None:
    parsed = page(f"<div><article>A{WORDS}</article></div><div><article>B{WORDS}</article></div>")
    assert "AWords" in parsed.text
    assert "BWords" in parsed.text


def test_an_article_among_small_ones_elsewhere_is_read_alone() -> None:
    parsed = page(
        f"<article><p>{WORDS}</p><article>A comment.</article></article>"
        "<div><article>Teaser.</article><article>Teaser.</article></div>"
    )
    assert parsed.text.endswith("Words of this one.\n\nA comment.")


def test_a_form_around_a_whole_page_is_no_boilerplate() -> None:
    parsed = page(f'<a href="#c">Skip to content</a><form><h1>Title</h1><p>{WORDS}</p></form>')
    assert parsed.sections[-1].heading_path == ("Title",)
    assert WORDS.strip() in parsed.text
    assert "Subscribe" not in page(f"<p>{WORDS}</p><form><label>Subscribe</label></form>").text


@pytest.mark.parametrize(
    ("heading", "read_as"),
    [
        ("<h2><button> How do I <b>return</b> it? </button></h2>", "How do I return it?"),
        ("<h2><span><button>Delivery</button></span></h2>", "Delivery"),
        ("<h2>Install <button>Copy link</button></h2>", "Install"),
    ],
)
def test_a_heading_that_is_a_button_is_a_heading(heading: str, read_as: str) -> None:
    [section] = page(f"{heading}<p>Text.</p><button>Send</button>").sections
    assert (section.heading_path, section.text) == ((read_as,), "Text.")


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("10<sup>6</sup> kg", "10^6 kg"),
        ("10<sup>-4</sup>", "10^-4"),
        ("<b>1,234</b><sup>1</sup>", "1,234^1"),
        ("(1 + r)<sup>2</sup>", "(1 + r)^2"),
        ("the 5<sup>th</sup> m<sup>2</sup>, CO<sub>2</sub>, 7<sup>[3]</sup>", None),
    ],
)
def test_a_superscript_makes_no_other_number(written: str, read_as: str | None) -> None:
    assert page(f"<p>{written}</p>").text == (read_as or "the 5th m2, CO2, 7[3]")


@pytest.mark.parametrize(
    ("math", "read_as"),
    [
        ('<math alttext="E=mc^{2}"><mi>E</mi></math>', "E=mc^{2}"),
        (
            '<math><mi>x</mi><annotation encoding="x-tex">\\frac{a}{b}</annotation></math>',
            "\\frac{a}{b}",
        ),
        (
            "<math><mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac></math>",
            "a/(b+1)",
        ),
        ("<math><msup><mi>x</mi><mn>2</mn></msup><msqrt><mi>y</mi></msqrt></math>", "x^2√(y)"),
        ("<math><msubsup><mi>s</mi><mn>1</mn><mn>9</mn></msubsup></math>", "s_1^9"),
    ],
)
def test_an_equation_is_kept_as_a_line(math: str, read_as: str) -> None:
    assert page(f"<p>Here {math} holds.</p>").text == f"Here {read_as} holds."


def test_code_beside_its_line_numbers_keeps_its_lines() -> None:
    parsed = page(
        "<table><tr><td><pre>1\n2\n3</pre></td>"
        "<td><div><pre>def f():\n    return 1\nf()\n</pre></div></td></tr></table>"
    )
    [section] = parsed.sections
    assert (section.kind, section.text) == (Kind.CODE, "def f():\n    return 1\nf()")


def test_code_in_a_cell_of_a_table_stays_in_its_row() -> None:
    parsed = page(
        "<table><tr><th>Call</th><th>Gives</th></tr>"
        "<tr><td><pre>f(\n  1)</pre></td><td>one <pre>1</pre></td></tr></table>"
    )
    assert parsed.text == "| Call | Gives |\n| --- | --- |\n| f( 1) | one 1 |"


def test_items_keep_their_numbers_and_marks() -> None:
    parsed = page(
        "<ol><li>First</li><li><p>Second</p><p>More.</p></li><li></li>"
        "<li>Fourth<ul><li><p>within</p></li></ul></li></ol><ol start=7><li>Seventh</li></ol>"
        "<p>- 5 degrees</p>"
    )
    assert parsed.text.replace("\n\n", "\n").splitlines() == [
        "1. First",
        "2. Second",
        "More.",
        "4. Fourth",
        "- within",
        "7. Seventh",
        "- 5 degrees",
    ]


def test_a_note_beside_the_text_is_read_and_a_sidebar_is_not() -> None:
    parsed = page(
        f"<main><p>{WORDS}</p><aside class='admonition warning'>Never do it.</aside>"
        "<aside role='doc-footnote'>Or once.</aside><aside class='sidebar'>About me</aside></main>"
    )
    assert parsed.text.endswith("one.\n\nNever do it.\n\nOr once.")


def test_an_empty_cell_keeps_its_column() -> None:
    parsed = page(
        "<table><tr><td></td><th>Days</th></tr><tr><td>Peru</td><td></td></tr>"
        "<tr><td><!-- --></td><td>30</td></tr><tr><td>Mali</td><td>31</td></tr></table>"
    )
    assert parsed.text.splitlines() == [
        *("|  | Days |", "| --- | --- |", "| Peru |  |", "|  | 30 |", "| Mali | 31 |")
    ]


@pytest.mark.parametrize(
    "empty", ["<table></table>", "<pre></pre>", "<ul></ul>", "<ol><li></li></ol>", "<nav></nav>"]
)
def test_an_empty_element_swallows_nothing(empty: str) -> None:
    parsed = page(f"<p>One</p>{empty}<p>two   words</p><h2>Three</h2><ul><li>four</li></ul>")
    assert parsed.text == "One\n\ntwo words\n\nThree\n\n- four"


@pytest.mark.parametrize(
    "many",
    [
        "<article><p>Words.</p></article>",
        "<ul><li><a href=x>Words.</a></li></ul>",
        "<li><a href=x>Words.</a></li>",
        "<form><p>Words.</p></form>",
        "<h2><button>Words.</button></h2>",
    ],
)
def test_a_page_of_thousands_of_the_same_is_read_within_a_tests_time(many: str) -> None:
    assert page(f"<ul>{many * 6_000}</ul><p>{WORDS}</p>").text.endswith(WORDS.strip())
