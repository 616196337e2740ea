"""Links and images that lead outside are disarmed: what an answer shows must carry nothing away.

An image is fetched by whoever looks at the answer, so its URL can tell an outsider what the run
has read. Only hosts of an allow-list stay alive, and what leads nowhere else: paths and anchors of
our own. The judge is a Markdown parser with HTML; where rewriting did not convince it, the part in
question is shown as code.
"""

from __future__ import annotations

import functools
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser

from markdown_it import MarkdownIt
from markdown_it.common.utils import unescapeAll
from markdown_it.token import Token

from guardrails import hosts

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_WEB = frozenset({"http", "https"})
_BARE = re.compile(
    r"(?:(?:https?|ftp):[/\\]{2}|(?<![\w/:.@-])www\.)[^\s<>\"'`\])}]+(?<![.,;:!?])", re.IGNORECASE
)
_LABEL = r"\[(?P<label>(?:[^\[\]\\]|\\.|\[(?:[^\[\]\\]|\\.){0,500}\]){0,1000})\]"
_TITLE = r"(?:\s+(?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\((?:[^()\\]|\\.)*\)))?"
_INLINE = re.compile(
    r"!?" + _LABEL + r"\(\s*(?P<to><[^<>\n]*>|(?:[^\s()<\\]|\\.|\([^\s()]*\))*)" + _TITLE + r"\s*\)"
)
_DEFINITION = re.compile(
    r"^[ >]*" + _LABEL + r":[ \t]*\n?[ \t]*(?P<to><[^<>\n]*>|\S+)[^\n]*$", re.MULTILINE
)
_AUTOLINK = re.compile(r"<([a-z][a-z0-9+.-]{1,31}:[^\s<>]*|[^\s<>@]+@[^\s<>@]+)>", re.IGNORECASE)
_TAG = re.compile(
    r"<!--.{0,2000}?-->|<(?=[a-z/!?])(?:[^<>\"']|\"[^\"]{0,4000}\"|'[^']{0,4000}'){0,4000}>?",
    re.IGNORECASE | re.DOTALL,
)
_PLAIN_TAGS = frozenset(
    """b i em strong br hr p ul ol li dl dt dd table thead tbody tr th td code pre sub sup
    h1 h2 h3 h4 h5 h6 blockquote details summary div span u s del ins mark kbd""".split()
)
_LEADING = {"a": "href", "img": "src"}
# Open WebUI runs such a block beside the answer, scripts and all, as soon as it is there.
_RUN = re.compile(r"(`{3,}|~{3,})([ \t]*)(?:x?html?|svg|xml)(?![\w-])", re.IGNORECASE)
_MOST_PASSES = 6
# How many runs of backticks are looked at for the one that ends a span of code.
_FARTHEST = 50


@dataclass(frozen=True, kw_only=True)
class Disarmed:
    """A text whose live links all lead to allowed hosts, and where the others led."""

    text: str
    removed: tuple[str, ...]


def leads_outside(url: str, allowed: Sequence[hosts.HostPattern]) -> bool:
    """Whether a browser would be led to a host that is not allowed, or to no host but code.

    Paths, anchors and queries stay with us. What cannot be read for sure leads outside.
    """
    url = re.sub(r"[\t\r\n]", "", url).strip("".join(map(chr, range(33))))
    url = url.replace("\\", "/")
    scheme = _SCHEME.match(url)
    if scheme is not None and scheme[1].lower() not in _WEB:
        return True
    rest = url[scheme.end() :] if scheme else url
    if scheme is None and not url.startswith("//"):
        return url.lower().startswith("www.") and not _is_allowed(url, allowed)
    return not _is_allowed(rest.lstrip("/"), allowed)


def disarm(text: str, *, allowed: Sequence[hosts.HostPattern] = ()) -> Disarmed:
    """The text (Markdown, HTML, or both) with every link outside turned into words, and no block
    of code that a reader's browser would run."""
    removed: dict[str, None] = {}
    written = _RUN.sub(r"\1\2text", text)
    writer = _Writer(allowed, removed)
    for _ in range(_MOST_PASSES):
        if not _offences(written, allowed):
            return Disarmed(text=written, removed=tuple(removed))
        before = written
        written = writer.rewritten(written)
        if written == before:
            break
    if not _offences(written, allowed):
        return Disarmed(text=written, removed=tuple(removed))
    removed.update(dict.fromkeys(_shown(url) for url in _offences(written, allowed)))
    return Disarmed(text=_as_code(written, allowed), removed=tuple(removed))


class Pieces:
    """A text that is shown while it comes: of its pieces in order no image is made, which would be
    fetched before the whole can be disarmed."""

    def __init__(self) -> None:
        self._begun = False

    def __call__(self, piece: str) -> str:
        """The piece as it may be shown."""
        if not piece:
            return piece
        shown = piece.replace("![", "! [")
        if self._begun and piece[0] == "[":
            shown = " " + shown
        self._begun = piece[-1] == "!"
        return shown


def _is_allowed(rest: str, allowed: Sequence[hosts.HostPattern]) -> bool:
    host = hosts.host_of("https://" + rest)
    return host is not None and any(one.matches(host) for one in allowed)


class _Writer:
    """Rewrites what leads outside, and notes where it led."""

    def __init__(self, allowed: Sequence[hosts.HostPattern], removed: dict[str, None]) -> None:
        self._allowed = allowed
        self._removed = removed

    def rewritten(self, text: str) -> str:
        """One pass over all that is not code."""
        pieces = _pieces(text)
        return "".join(piece if is_code else self._prose(piece) for is_code, piece in pieces)

    def _prose(self, text: str) -> str:
        text = _AUTOLINK.sub(self._autolink, text)
        text = _TAG.sub(self._tag, text)
        text = _DEFINITION.sub(self._definition, text)
        for _ in range(_MOST_PASSES):
            before, text = text, _INLINE.sub(self._inline, text)
            if text == before:
                break
        return _BARE.sub(self._bare, text)

    def _gone(self, url: str) -> str:
        shown = _shown(url)
        self._removed[shown] = None
        return shown

    def _outside(self, url: str) -> bool:
        return leads_outside(url, self._allowed)

    def _inline(self, match: re.Match[str]) -> str:
        url = _destination(match["to"])
        if not self._outside(url):
            return match[0]
        gone = f"(link to {self._gone(url)} removed)"
        return f"{match['label'].strip()} {gone}".lstrip()

    def _definition(self, match: re.Match[str]) -> str:
        url = _destination(match["to"])
        if self._outside(url):
            self._gone(url)
            return ""
        return match[0]

    def _autolink(self, match: re.Match[str]) -> str:
        if "@" in match[1] and not _SCHEME.match(match[1]):
            return match[1]
        return self._gone(match[1]) if self._outside(match[1]) else match[0]

    def _bare(self, match: re.Match[str]) -> str:
        return self._gone(match[0]) if self._outside(match[0]) else match[0]

    def _tag(self, match: re.Match[str]) -> str:
        tag = match[0]
        kept = tag if _AUTOLINK.fullmatch(tag) else _kept_tag(tag, self._allowed)
        if kept is not None:
            return kept
        if tag.startswith("<!--") or tag.lower() in ("</a>", "</img>"):
            return ""
        read = _read(tag)
        outside = [value for _, value in read.attributes if self._outside(value)]
        for url in outside:
            self._gone(url)
        return f"({read.name} removed)" if outside and tag.endswith(">") else "&lt;" + tag[1:]


def _destination(written: str) -> str:
    return unescapeAll(written.removeprefix("<").removesuffix(">"))


@functools.cache
def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    # What a renderer may refuse is judged here like the rest.
    setattr(parser, "validateLink", lambda _: True)  # noqa: B010 - mypy takes it for a method
    return parser


def _pieces(text: str) -> Iterator[tuple[bool, str]]:
    """The text in pieces, and whether each is code: outermost fenced blocks, and spans."""
    lines = text.splitlines(keepends=True)
    at = 0
    for token in _parser().parse(text):
        if token.type == "fence" and token.level == 0 and token.map:
            begin, end = token.map
            if begin >= at and end <= len(lines):
                yield from _spans("".join(lines[at:begin]))
                yield True, "".join(lines[begin:end])
                at = end
    yield from _spans("".join(lines[at:]))


def _spans(text: str) -> Iterator[tuple[bool, str]]:
    """Spans of code are between two equally long runs of backticks, in one paragraph."""
    runs = list(re.finditer(r"(?<!\\)`+", text))
    at = opening = 0
    while opening < len(runs):
        run = runs[opening]
        for closing in range(opening + 1, min(len(runs), opening + _FARTHEST)):
            end = runs[closing].end()
            if len(runs[closing][0]) == len(run[0]) and not re.search(
                r"\n\s*\n", text[run.end() : end]
            ):
                yield False, text[at : run.start()]
                yield True, text[run.start() : end]
                at, opening = end, closing
                break
        opening += 1
    yield False, text[at:]


def _offences(text: str, allowed: Sequence[hosts.HostPattern]) -> list[str]:
    """The URLs that still lead outside, and the tags that are not let through."""
    found: list[str] = []
    for token in _flat(_parser().parse(text)):
        if token.type in ("link_open", "image"):
            url = str(token.attrs.get("href") or token.attrs.get("src") or "")
            found += [url] if leads_outside(url, allowed) else []
        if token.type in ("text", "html_block"):
            urls = _BARE.findall(token.content)
            found += [url for url in urls if leads_outside(url, allowed)]
        if token.type in ("html_inline", "html_block"):
            found += _tags_to_go(token.content, allowed)
    for is_code, piece in _pieces(text):
        found += [] if is_code else _tags_to_go(piece, allowed)
    return found


def _tags_to_go(text: str, allowed: Sequence[hosts.HostPattern]) -> list[str]:
    tags = [tag for tag in _TAG.findall(text) if not _AUTOLINK.fullmatch(tag)]
    return [tag for tag in tags if _kept_tag(tag, allowed) != tag]


def _flat(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from _flat(token.children or ())


class _Attributes(HTMLParser):
    """The first tag of a text, as a browser reads it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.name = ""
        self.attributes: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self.name:
            self.name = tag
            self.attributes = [(name, value or "") for name, value in attrs]


def _read(tag: str) -> _Attributes:
    reader = _Attributes()
    if tag.startswith(("<!", "<?")):
        return reader
    reader.feed(tag if tag.endswith(">") else tag + ">")
    return reader


def _kept_tag(tag: str, allowed: Sequence[hosts.HostPattern]) -> str | None:
    """The tag as it may stay; None where it has to go."""
    closing = re.fullmatch(r"</([a-z][a-z0-9]*)\s*>", tag, re.IGNORECASE)
    if closing:
        name = closing[1].lower()
        return f"</{name}>" if name in _PLAIN_TAGS or name in _LEADING else None
    if not tag.endswith(">"):
        return None
    read = _read(tag)
    if read.name in _PLAIN_TAGS:
        return f"<{read.name}>"
    wanted = _LEADING.get(read.name)
    values = dict(reversed(read.attributes))
    url = values.get(wanted or "", "")
    if wanted is None or not url or leads_outside(url, allowed):
        return None
    alt = f' alt="{html.escape(values["alt"])}"' if read.name == "img" and "alt" in values else ""
    return f'<{read.name} {wanted}="{html.escape(url)}"{alt}>'


def _shown(url: str) -> str:
    """A URL that people can read and no renderer makes a link of: `evil[.]example`."""
    url = re.sub(r"[\t\r\n]", "", url).strip().replace("\\", "/")
    scheme = _SCHEME.match(url)
    if scheme is not None and scheme[1].lower() not in _WEB:
        return f"a {scheme[1].lower()} address"
    rest = url[scheme.end() :] if scheme else url
    host = hosts.host_of("https://" + rest.lstrip("/"))
    return host.replace(".", "[.]").replace(":", "[:]") if host else "an unreadable address"


def _as_code(text: str, allowed: Sequence[hosts.HostPattern]) -> str:
    """All of it as one block of code, which no renderer looks into."""
    text = _BARE.sub(
        lambda match: _shown(match[0]) if leads_outside(match[0], allowed) else match[0], text
    )
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}\n"
