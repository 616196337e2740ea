"""What came over HTTP as passages that can be read and cited: the page's URL is their source."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import hashlib
import math
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from tools.retrieval import chunks as chunking
from tools.retrieval.decode import READ_AS
from tools.retrieval.documents import Chunk, Hit, Parsed, Scores
from tools.retrieval.errors import ParseError
from tools.retrieval.parse import Parser
from tools.retrieval.sparse import Bm25Encoder
from tools.web.errors import PageUnreadableError
from tools.web.fetching import Fetched

LONGEST_TITLE = 200
# What a type is called in a file's name, by which the parser parts texts from each other.
_SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "text/plain": ".txt",
    "text/csv": ".csv",
    "application/json": ".json",
    "application/xml": ".xml",
    "text/xml": ".xml",
    "application/pdf": ".pdf",
}
_TEXTS = ("text/", "application/xhtml", "application/xml")
# The charsets of the web: others that Python knows are no charsets, or slow on purpose.
_CHARSETS = re.compile(
    r"cp\d|iso8859-|koi8-|utf-(?:16|32)|iso2022_|shift_jis|euc_|gb|big5|mac-|tis-620|hz$"
)


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page as text, cut into passages."""

    url: str
    title: str
    media_type: str
    pages: int | None
    passages: tuple[Chunk, ...]


async def read(fetched: Fetched, *, parser: Parser) -> Page:
    """The page's text. Raises PageUnreadableError."""
    name = file_name(fetched)
    try:
        parsed = await parser.parse(await asyncio.to_thread(in_utf8, fetched), name=name)
    except ParseError as error:
        raise PageUnreadableError(str(error).removeprefix(f"{name}: ")) from None
    passages = await asyncio.to_thread(chunking.chunk, parsed, document_id=page_id(fetched.url))
    if not passages:
        raise PageUnreadableError("it holds no text")
    return Page(
        url=fetched.url,
        title=_title(parsed, name=name, url=fetched.url),
        media_type=parsed.media_type,
        pages=parsed.pages,
        passages=passages,
    )


async def best(page: Page, *, about: str, limit: int) -> list[Hit]:
    """The passages that have most to do with ``about``, in the page's order; else the first."""
    scores = await asyncio.to_thread(_scores, page, about) if about.strip() else {}
    order = sorted(scores, key=lambda place: (-scores[place], place))
    chosen = sorted(order[:limit]) if order else range(min(limit, len(page.passages)))
    now = time.time()
    return [_hit(page, place, score=scores.get(place), fetched_at=now) for place in chosen]


def page_id(url: str) -> str:
    """A web page's id among passages: the same for the same URL."""
    return f"web-{hashlib.sha256(url.encode()).hexdigest()[:32]}"


def in_utf8(fetched: Fetched) -> bytes:
    """The body in UTF-8, where it is a text in another charset that the server named.

    What reads as UTF-8 is UTF-8, whatever was said; where the server is wrong, the page tells.
    """
    if not fetched.charset or not fetched.media_type.startswith(_TEXTS):
        return fetched.body
    try:
        codec = codecs.lookup(fetched.charset).name
        if not _CHARSETS.match(codec):
            return fetched.body
        if not codec.startswith(("utf-", "iso2022_")):
            with contextlib.suppress(UnicodeDecodeError):
                fetched.body.decode()
                return fetched.body
        # As browsers take it.
        text = fetched.body.decode(READ_AS.get(codec, codec))
        return codecs.BOM_UTF8 + text.encode()
    except (LookupError, ValueError):
        return fetched.body


def file_name(fetched: Fetched) -> str:
    """What the page would be called as a file: its type decides over its URL."""
    last = PurePosixPath(urlsplit(fetched.url).path).name[-100:] or "page"
    suffix = _SUFFIXES.get(fetched.media_type)
    if suffix is None or last.lower().endswith(suffix):
        return last
    if fetched.media_type == "text/plain" and PurePosixPath(last).suffix:
        # What servers say of every file that they do not know, Markdown too.
        return last
    return last + suffix


def _title(parsed: Parsed, *, name: str, url: str) -> str:
    title = " ".join(parsed.title.split())
    if not title or title == name:
        parts = urlsplit(url)
        title = f"{parts.netloc}{parts.path}"
    return title if len(title) <= LONGEST_TITLE else title[: LONGEST_TITLE - 1] + "…"


def _scores(page: Page, about: str) -> dict[int, float]:
    """BM25 of each passage that shares a word with ``about``, by its place."""
    encoder = Bm25Encoder()
    wanted = set(encoder.query(about).indices)
    weights = []
    for passage in page.passages:
        vector = encoder.document(chunking.embedded_text(passage, title=page.title))
        pairs = zip(vector.indices, vector.values, strict=True)
        weights.append({term: value for term, value in pairs if term in wanted})
    known = Counter(term for one in weights for term in one)
    rarity = {term: _rarity(count, of=len(weights)) for term, count in known.items()}
    return {
        place: sum(rarity[term] * value for term, value in one.items())
        for place, one in enumerate(weights)
        if one
    }


def _rarity(count: int, *, of: int) -> float:
    return math.log(1 + (of - count + 0.5) / (count + 0.5))


def _hit(page: Page, place: int, *, score: float | None, fetched_at: float) -> Hit:
    passage = page.passages[place]
    return Hit(
        document_id=passage.document_id,
        chunk_id=passage.chunk_id,
        title=page.title,
        source=page.url,
        text=passage.text,
        page=passage.page,
        heading=passage.heading,
        span=passage.span,
        scores=Scores(bm25=score, fused=score or 0.0),
        metadata={"url": page.url, "fetched_at": fetched_at},
    )


def numbered(hits: Sequence[Hit]) -> str:
    """Passages as a model reads them."""
    lines = []
    for number, hit in enumerate(hits, 1):
        heading = " > ".join(part for part in hit.heading if part != hit.title)
        page = f"page {hit.page}" if hit.page is not None else ""
        where = ", ".join(part for part in (hit.title, page, heading) if part)
        lines.append(f"[{number}] {where}\n{hit.text}")
    return "\n\n".join(lines)
