"""Ways through a page's tree that take no longer the longer they are, as the library's lists do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from resiliparse.parse.html import ELEMENT, traverse_dom


def children(node: Any) -> Iterator[Any]:
    """The nodes directly within ``node``."""
    child = node.first_child
    while child is not None:
        yield child
        child = child.next


def elements(node: Any) -> list[Any]:
    """The elements within ``node``, each before what is within it."""
    found: list[Any] = []

    def start(context: Any) -> None:
        if context.node.type == ELEMENT and context.node != node:
            found.append(context.node)

    traverse_dom(base_node=node, start_callback=start)
    return found
