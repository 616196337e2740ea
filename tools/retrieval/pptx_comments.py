"""What people wrote beside a slide: comments and the answers to them, in the old and new form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

_DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_KINDS = frozenset({"comments"})
_AUTHORS = frozenset({"commentAuthors", "authors"})
_NOTES = frozenset({"cm", "reply"})


def authors(deck: Any) -> dict[str, str]:
    """The names of a deck's commenters, by their ids."""
    return {
        one.get("id", ""): one.get("name", "")
        for root in _roots(deck.part, _AUTHORS)
        for one in root
        if _local(one) in ("cmAuthor", "author")
    }


def of(slide: Any, names: dict[str, str]) -> Iterator[str]:
    """The comments of a slide in their order, each with who wrote it."""
    for root in _roots(slide.part, _KINDS):
        for note in root.iter():
            if _local(note) not in _NOTES:
                continue
            text = " ".join(" ".join(_texts(note)).split())
            name = names.get(note.get("authorId", ""), "")
            if text:
                yield f"Comment{f' by {name}' if name else ''}: {text}"


def _texts(note: Any) -> Iterator[str]:
    """Its own paragraphs, without those of its answers."""
    for child in note:
        if _local(child) == "text":
            yield child.text or ""
        elif _local(child) == "txBody":
            for paragraph in child.iter(f"{_DRAWING}p"):
                yield "".join(node.text or "" for node in paragraph.iter(f"{_DRAWING}t"))


def _roots(part: Any, kinds: frozenset[str]) -> Iterator[Any]:
    for relation in part.rels.values():
        # Microsoft's own form has the same last word under another address.
        if relation.reltype.rpartition("/")[2] in kinds and not relation.is_external:
            blob = relation.target_part.blob
            yield etree.fromstring(blob, etree.XMLParser(resolve_entities=False))


def _local(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
