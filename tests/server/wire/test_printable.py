"""What documents and programs say, shown in a line that nothing is made of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from server.wire.printable import inert, terminal

_ALIVE = {"image", "link_open", "html_inline", "html_block"}


def alive(text: str) -> set[str]:
    """What a renderer of Markdown with HTML makes of it beside words."""
    parser = MarkdownIt("commonmark", {"html": True})
    found: set[str] = set()

    def look(tokens: list[Token]) -> None:
        for token in tokens:
            found.add(token.type)
            look(token.children or [])

    look(parser.parse(text))
    return found & _ALIVE


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("![x](https://evil.example/?q=1)", "![x] (https://evil.example/?q=1)"),
        ("[a [b](c)](//d)", "[a [b] (c)] (//d)"),
        ("a <img src=//evil.example/i> b", "a < img src=//evil.example/i> b"),
        ("see <https://evil.example>", "see < https://evil.example>"),
        ("<!-- </p> <?x", "< !-- < /p> < ?x"),
        ("annexe\u202egnp.exe \u2066x\u2069", "annexegnp.exe x"),
        ("x < 3, a[1], [2] and f(x) stay", "x < 3, a[1], [2] and f(x) stay"),
    ],
)
def test_a_line_with_markup_is_read_as_it_stands(line: str, shown: str) -> None:
    assert inert(line) == shown
    assert alive(f"[1] {inert(line)}") == set()


@given(st.lists(st.text("![]()<>\\`*_/:?a1 &;#\"'", max_size=30), min_size=1, max_size=3))
def test_nothing_is_made_of_any_lines(texts: list[str]) -> None:
    lines = [inert(f"[{number}] a: “{text}”") for number, text in enumerate(texts)]
    assert alive("Sources:\n" + "\n".join(lines)) == set()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("two\r\nlines\tand\nmore", "two\nlines\tand\nmore"),
        ("\x1b[2Kx\ry", "U+001B[2KxU+000Dy"),
        ("a\u202eb\u2066c\u200bd\x07", "aU+202EbU+2066cU+200BdU+0007"),
        ("Größe 日本 🙂", "Größe 日本 🙂"),
    ],
)
def test_what_a_terminal_would_follow_is_shown_by_its_number(text: str, shown: str) -> None:
    assert terminal(text) == shown
