"""Markdown of which no line is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.retrieval.test_parse import read
from tools.retrieval.errors import EmptyDocument

LINES = ["# One", "Two words", "---", "[3]: https://a.example/4 'Five'", "[^6]: Seven.", "- 8", ""]


def test_text_between_two_lines_at_the_top_is_text() -> None:
    parsed = read(b"---\n\n# Intro\n\nImportant.\n\n---\n\nMore.\n", name="a.md")
    [section] = parsed.sections
    assert (section.heading_path, section.text) == (("Intro",), "Important.\n\nMore.")


@pytest.mark.parametrize(
    "matter",
    [
        "---\ntitle: 'The book'\ntags:\n  - a\n\nabout: >\n  long\n---\n",
        "---  \n# yaml\n\ntitle: The book\n...\n",
        '---\n"about": a "quoted" key\ntitle: The book\n---\n',
    ],
)
def test_fields_in_front_give_the_title_alone(matter: str) -> None:
    parsed = read(f"{matter}\n# Chapter\n\nText.\n".encode(), name="a.md")
    assert (parsed.title, parsed.text) == ("The book", "Chapter\n\nText.")


def test_where_a_link_leads_is_kept() -> None:
    source = "See [docs].[^1]\n\n[docs]: https://docs.example.com/x 'Title'\n[^1]: Deprecated."
    assert read(source.encode(), name="a.md").text == source


@given(st.lists(st.sampled_from(LINES), max_size=8))
def test_every_word_is_kept(lines: list[str]) -> None:
    source = "\n".join(lines)
    words = [word for word in source.replace("#", " ").split() if set(word) != {"-"}]
    try:
        text = read(source.encode(), name="a.md").text
    except EmptyDocument:
        assert not words
        return
    for word in words:
        assert text.split().count(word) == words.count(word)
