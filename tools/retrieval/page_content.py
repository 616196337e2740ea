"""Which part of a web page is its content: told from its elements and how much text each holds."""

from __future__ import annotations

import re
from typing import Any

from tools.retrieval import dom

_MAIN_SHARE = 0.3
# A long list of nothing but links leads elsewhere.
_MENU_LINKS = 10
_MENU_SHARE = 0.9
_TITLES = frozenset({"h1", "h2", "h3", "h4", "h5", "h6", "dt", "summary"})
_MAX_ROOTS = 10
# How programs that write pages mark what belongs to the text.
_NOTE = re.compile(
    r"\b(?:admonition|callout|caution|danger|footnotes?|important|info|note|tip|topic|warning)\b"
)


def root(body: Any, *, whole: int) -> Any:
    """The element that holds the content; ``whole`` is how many characters ``body`` holds.

    Articles beside each other are one content.
    """
    mains: list[Any] = []
    articles: list[Any] = []
    for one in dom.elements(body):
        if one.tag == "main" or one.getattr("role") == "main":
            mains.append(one)
        elif one.tag == "article":
            articles.append(one)
    for among in (mains, articles):
        found = [one for one in among if is_large(one, whole=whole)]
        apart = [one for one in found[1:_MAX_ROOTS] if not _is_within(one, found[0])]
        if apart:
            return body
        if found:
            return _with_peers(found[0]) if among is articles else found[0]
    return body


def is_large(node: Any, *, whole: int) -> bool:
    """Whether an element holds much of the page's text."""
    return len(node.text or "") > _MAIN_SHARE * whole


def is_title(button: Any) -> bool:
    """Whether a button is all that a heading holds, as one that folds the text below it."""
    above = button.parent
    while above is not None and above.tag not in _TITLES:
        if above.tag == "body":
            return False
        above = above.parent
    return above is not None and _packed(above) == _packed(button) != ""


def is_note(node: Any) -> bool:
    """Whether an element beside the text is a note to it: a warning, a footnote."""
    about = f"{node.getattr('role') or ''} {node.getattr('class') or ''}"
    return node.tag == "aside" and ("starlight-aside" in about or bool(_NOTE.search(about)))


def is_menu(node: Any) -> bool:
    """Whether a list leads elsewhere."""
    links = [one for one in dom.elements(node) if one.tag == "a"]
    if len(links) < _MENU_LINKS:
        return False
    linked = sum(len(_packed(link)) for link in links)
    return linked > _MENU_SHARE * len(_packed(node))


def _with_peers(article: Any) -> Any:
    above = article.parent
    peers = sum(node.tag == "article" for node in dom.children(above))
    return above if peers > 1 else article


def _is_within(node: Any, outer: Any) -> bool:
    while (node := node.parent) is not None:
        if node == outer:
            return True
    return False


def _packed(node: Any) -> str:
    return "".join((node.text or "").split())
