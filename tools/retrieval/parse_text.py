"""Markdown and plain text."""

from __future__ import annotations

import re

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tools.retrieval.assembly import Assembly, clean
from tools.retrieval.decode import decode
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import EmptyDocument
from tools.retrieval.sniff import Format

# Fields between two lines; what a line merely stands above is text.
_FRONT_MATTER = re.compile(
    r"---[ \t]*\n(?P<fields>(?:[ \t]*(?:#.*)?\n)*(?:[\w\"'][^:\n]*:(?:[ \t].*)?\n(?:.*\n)*?)?)"
    r"(?:---|\.\.\.)[ \t]*(?:\n|\Z)"
)


def parse_plain(data: bytes, *, name: str) -> Parsed:
    """The text as it is."""
    assembly = Assembly()
    assembly.block(decode(data))
    return _not_empty(assembly.finish(title=name, media_type=Format.TEXT), name=name)


def parse_markdown(data: bytes, *, name: str) -> Parsed:
    """Blocks of Markdown, each verbatim, under their headings. Raises EmptyDocument."""
    source, title = _without_front_matter(clean(decode(data)))
    lines = source.split("\n")
    tokens = MarkdownIt("commonmark").enable("table").parse(source)
    assembly = Assembly()
    first_heading = ""
    covered = 0
    for place, token in enumerate(tokens):
        if token.level != 0 or token.map is None:
            continue
        # Definitions of links, and notes that look like them, are in no token.
        assembly.block("\n".join(lines[covered : token.map[0]]))
        covered = token.map[1]
        if token.type == "heading_open":
            heading = _plain(tokens[place + 1])
            first_heading = first_heading or heading
            assembly.heading(int(token.tag[1:]), heading)
            continue
        kind = {
            "table_open": Kind.TABLE,
            "fence": Kind.CODE,
            "code_block": Kind.CODE,
        }.get(token.type, Kind.PROSE)
        if token.type != "hr":
            assembly.block("\n".join(lines[token.map[0] : token.map[1]]), kind=kind)
    assembly.block("\n".join(lines[covered:]))
    parsed = assembly.finish(title=title or first_heading or name, media_type=Format.MARKDOWN)
    return _not_empty(parsed, name=name)


def _not_empty(parsed: Parsed, *, name: str) -> Parsed:
    if not parsed.sections:
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    return parsed


def _plain(inline: Token) -> str:
    children = inline.children or []
    return "".join(
        child.content
        if child.type in ("text", "code_inline")
        else " " * (child.type == "softbreak")
        for child in children
    )


def _without_front_matter(source: str) -> tuple[str, str]:
    """The text, and the title that the fields in front of it give; a line at the top is none."""
    matter = _FRONT_MATTER.match(source)
    if matter is None:
        return source, ""
    title = ""
    for line in matter["fields"].split("\n"):
        key, _, value = line.partition(":")
        if key.strip() == "title":
            title = value.strip().strip("\"'")
    return source[matter.end() :], title
