"""HTML: a walk over resiliparse's DOM that keeps headings, lists, tables and code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from resiliparse.parse.html import ELEMENT, TEXT, HTMLTree, traverse_dom

from tools.retrieval import mathml, page_content
from tools.retrieval.assembly import Assembly, clean, is_raised, markdown_table
from tools.retrieval.decode import decode
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import EmptyDocument
from tools.retrieval.sniff import Format

_SKIP = frozenset(
    [
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "canvas",
        "iframe",
        "object",
        "embed",
        "head",
        "select",
        "option",
        "textarea",
        "input",
        "dialog",
        "audio",
        "video",
        "map",
    ]
)
_BOILERPLATE = frozenset({"nav", "aside", "footer"})
_BOILERPLATE_ROLES = frozenset({"navigation", "search", "banner", "contentinfo", "complementary"})
_BLOCK = frozenset(
    [
        "address",
        "article",
        "aside",
        "blockquote",
        "body",
        "caption",
        "center",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "fieldset",
        "figcaption",
        "figure",
        "footer",
        "form",
        "header",
        "hgroup",
        "hr",
        "html",
        "legend",
        "li",
        "main",
        "menu",
        "nav",
        "ol",
        "p",
        "section",
        "summary",
        "ul",
    ]
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_ROW_BREAK = frozenset({"td", "th"})
_LINE_NUMBERS = re.compile(r"[\d\s]*")
_HIDDEN = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
# Spans of more columns or rows than this are mistakes, or worse.
_MAX_ACROSS = 50
_MAX_DOWN = 1_000


def parse(data: bytes, *, name: str) -> Parsed:
    """The content of a page without its navigation. Raises EmptyDocument."""
    tree = HTMLTree.parse(clean(decode(data)))
    body = tree.body
    title = " ".join((tree.title or "").split())
    if body is not None:
        whole = len(body.text or "")
        # The narrowed reading first; a page that is all navigation is read as it stands.
        for root, strict in ((page_content.root(body, whole=whole), True), (body, False)):
            walk = _Walk(strict=strict, whole=whole)
            traverse_dom(base_node=root, start_callback=walk.start, end_callback=walk.end)
            walk.flush()
            parsed = walk.assembly.finish(
                title=title or walk.first_heading or name, media_type=Format.HTML
            )
            if parsed.sections:
                return parsed
    raise EmptyDocument(
        f"{name}: the page holds no text; if scripts fill it in, save the rendered page"
    )


@dataclass(kw_only=True)
class _Cell:
    text: str
    across: int = 1
    down: int = 1
    code: bool = False


@dataclass(kw_only=True)
class _Table:
    rows: list[list[_Cell]] = field(default_factory=list)
    cell: list[str] | None = None
    code: bool = False
    layout: bool = False
    caption: str = ""


class _Walk:
    """Callbacks of one walk: inline text gathers until a block begins or ends."""

    def __init__(self, *, strict: bool, whole: int) -> None:
        self.assembly = Assembly()
        self.first_heading = ""
        self._strict = strict
        self._whole = whole
        self._inline: list[str] = []
        self._skipping: int | None = None
        self._tables: list[_Table] = []
        self._pre = 0
        self._tight = False
        # The number of the item before, of each open list; None where it has none.
        self._lists: list[int | None] = []
        self._marker = ""

    def start(self, context: Any) -> None:
        """A node begins."""
        self._start(context)
        if context.node.type == ELEMENT and context.node.first_child is None:
            # The walk tells no end of elements without content.
            self.end(context)

    def _start(self, context: Any) -> None:
        node = context.node
        if self._skipping is not None:
            return
        if node.type == TEXT:
            self._inline.append(node.value or "")
            return
        if node.type != ELEMENT:
            return
        tag = node.tag
        if self._is_skipped(node, tag):
            self._skipping = context.depth
        elif tag == "math":
            self._inline.append(f" {mathml.linear(node)} ")
            self._skipping = context.depth
        elif tag == "sup":
            before = next((text for text in reversed(self._inline) if text), "")
            self._inline.append("^" if is_raised(node.text or "", after=before) else "")
        elif tag == "br":
            self._inline.append("\n" if self._pre else "\u2028")
        elif tag == "img":
            self._inline.append(f" {node.getattr('alt') or ''} ")
        elif tag == "table":
            self.flush()
            self._tables.append(_Table())
        elif self._tables and tag == "tr":
            self.flush()
            self._tables[-1].rows.append([])
        elif self._tables and tag in _ROW_BREAK:
            self._tables[-1].cell = []
            self._tables[-1].code = False
            self._inline.clear()
        elif tag == "pre":
            self.flush()
            self._pre += 1
        elif tag in _HEADINGS or tag in _BLOCK:
            self.flush()
            if tag in ("ul", "ol"):
                self._lists.append(_first(node) - 1 if tag == "ol" else None)
            elif tag == "li":
                self._marker = self._next_marker()

    def end(self, context: Any) -> None:
        """A node ends."""
        node = context.node
        if self._skipping is not None:
            if context.depth <= self._skipping:
                self._skipping = None
            return
        if node.type != ELEMENT:
            return
        tag = node.tag
        if tag == "pre":
            text = "".join(self._inline)
            self._inline.clear()
            self._pre = max(0, self._pre - 1)
            if not self._tables:
                self.assembly.block(text, kind=Kind.CODE)
            elif (cell := self._tables[-1].cell) is not None:
                self._tables[-1].code = not cell
                cell.append(text.strip("\n"))
            else:
                self._inline.append(text)
                self.flush()
        elif tag in _HEADINGS:
            self._heading(_HEADINGS[tag])
        elif self._tables and tag in _ROW_BREAK:
            self._end_cell(node)
        elif self._tables and tag == "caption":
            self._tables[-1].caption = " ".join("".join(self._inline).split())
            self._inline.clear()
        elif self._tables and tag == "table":
            self._end_table(self._tables.pop())
        elif tag in _BLOCK:
            self.flush()
            if tag == "li":
                self._marker = ""
            elif tag in ("ul", "ol"):
                self._tight = False
                self._lists = self._lists[:-1]

    def flush(self) -> None:
        """Hand the inline text gathered so far on as one block."""
        if self._pre:
            return
        text = "".join(self._inline)
        self._inline.clear()
        lines = [" ".join(line.split()) for line in text.split("\u2028")]
        text = "\n".join(line for line in lines if line)
        if not text:
            return
        item = bool(self._marker)
        text, self._marker = self._marker + text, ""
        if self._tables:
            table = self._tables[-1]
            if table.cell is None:
                table.rows.append([_Cell(text=text)])
            else:
                table.cell.append(text)
                table.code = False
            return
        self.assembly.block(text, tight=item and self._tight)
        self._tight = item

    def _next_marker(self) -> str:
        before = self._lists[-1] if self._lists else None
        if before is None:
            return "- "
        self._lists[-1] = before + 1
        return f"{before + 1}. "

    def _is_skipped(self, node: Any, tag: str) -> bool:
        if tag in _SKIP or node.hasattr("hidden") or node.getattr("aria-hidden") == "true":
            return True
        if tag == "button":
            return not page_content.is_title(node)
        if _HIDDEN.search(node.getattr("style") or ""):
            return True
        return self._strict and (
            (tag in _BOILERPLATE and not page_content.is_note(node))
            or (node.getattr("role") or "") in _BOILERPLATE_ROLES
            or (tag == "form" and not page_content.is_large(node, whole=self._whole))
            or (tag in ("ul", "ol") and page_content.is_menu(node))
        )

    def _heading(self, level: int) -> None:
        if self._tables:
            self._tables[-1].layout = True
            self.flush()
            return
        text = " ".join("".join(self._inline).replace("\u2028", " ").split())
        self._inline.clear()
        self.assembly.heading(level, text)
        self.first_heading = self.first_heading or text
        self._tight = False

    def _end_cell(self, node: Any) -> None:
        self.flush()
        table = self._tables[-1]
        if not table.rows:
            table.rows.append([])
        table.rows[-1].append(
            _Cell(
                text="\n".join(table.cell or []),
                across=_span(node.getattr("colspan"), most=_MAX_ACROSS),
                down=_span(node.getattr("rowspan"), most=_MAX_DOWN),
                code=table.code,
            )
        )
        table.cell = None

    def _end_table(self, table: _Table) -> None:
        if self._inline:
            self._tables.append(table)
            self.flush()
            self._tables.pop()
        cells = [[cell for cell in row if cell.text.strip()] for row in table.rows]
        rows = [[cell.text for cell in row] for row in cells if row]
        if self._tables:
            outer = self._tables[-1]
            text = "; ".join([*filter(None, [table.caption]), *(", ".join(row) for row in rows)])
            if outer.cell is not None:
                outer.cell.append(text)
            elif text:
                outer.rows.append([_Cell(text=text)])
            outer.layout = outer.layout or len(text) > 1_000
            return
        self.assembly.block(table.caption)
        if table.layout or len(rows) < 2 or max(map(len, rows)) < 2:
            for cell in (cell for row in cells for cell in row):
                if not (cell.code and len(rows[0]) > 1 and _LINE_NUMBERS.fullmatch(cell.text)):
                    self.assembly.block(cell.text, kind=Kind.CODE if cell.code else Kind.PROSE)
        else:
            self.assembly.block(
                markdown_table(_without_empty_columns(_grid(table.rows))),
                kind=Kind.TABLE,
                caption=table.caption,
            )


def _span(value: str | None, *, most: int) -> int:
    return min(max(int(value), 1), most) if value and value.isascii() and value.isdigit() else 1


def _first(node: Any) -> int:
    value = node.getattr("start") or ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 9 else 1


def _grid(rows: list[list[_Cell]]) -> list[list[str]]:
    """The cells where they stand: one over several columns or rows is followed by empty ones."""
    grid: list[list[str]] = []
    # Column to how many rows more it is taken from above.
    taken: dict[int, int] = {}
    for row in rows:
        line: list[str] = []
        below: dict[int, int] = {}
        for cell in row:
            _pass_taken(line, taken)
            if cell.down > 1:
                below.update(dict.fromkeys(range(len(line), len(line) + cell.across), cell.down))
            line.extend([cell.text, *[""] * (cell.across - 1)])
        _pass_taken(line, taken)
        taken = {column: left - 1 for column, left in (taken | below).items() if left > 1}
        grid.append(line)
    return grid


def _pass_taken(line: list[str], taken: dict[int, int]) -> None:
    while taken.get(len(line), 0) > 0:
        line.append("")


def _without_empty_columns(rows: list[list[str]]) -> list[list[str]]:
    width = max(len(row) for row in rows)
    used = [
        column
        for column in range(width)
        if any(column < len(row) and row[column].strip() for row in rows)
    ]
    return [[row[column] if column < len(row) else "" for column in used] for row in rows]
