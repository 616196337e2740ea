"""The tool that reads a page: passages whose source is its URL."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.tools.retrieval.making import pdf
from tests.tools.web.site import Names, Site, fetching, moved, page, serving
from tools.retrieval.parse import InlineParser
from tools.retrieval.sandboxed_parse import SandboxedParser
from tools.tool import Tool, ToolContext, ToolError, ToolResult
from tools.web.fetch_page import FetchPage, fetch_page
from tools.web.fetching import Fetched
from tools.web.page_text import file_name, in_utf8, read

HERE = ToolContext(tenant="acme", collection="hr", run_id="r", call_id="c", roles=frozenset("u"))

LEAVE = """<!doctype html><html><head><title>Leave
 at  Acme</title></head><body><nav><a href=/x>Home</a></nav><main><h1>Leave at Acme</h1>
<h2>Holiday</h2><p>Everyone has 30 days of holiday.</p>
<h2>Illness</h2><p>Call before nine o'clock.</p>
<h2>Moving house</h2><table><tr><th>Distance</th><th>Days</th></tr>
<tr><td>near</td><td>1</td></tr><tr><td>far</td><td>2</td></tr></table></main></body></html>"""


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving({"/leave": page(LEAVE)}) as found:
        yield found


def never(args: Mapping[str, Any], context: ToolContext) -> bool:
    return False


@asynccontextmanager
async def tool(site: Site, **given: Any) -> AsyncIterator[Tool]:
    options = {"parser": InlineParser(), "permits": never, **given}
    names = Names({"pages.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
    async with fetching(site, names=names) as fetcher:
        yield fetch_page(fetcher, **options)


async def call(site: Site, path: str, *, about: str = "", **given: Any) -> ToolResult:
    async with tool(site, **given) as made:
        url = f"http://pages.example:{site.port}{path}"
        return await made.call(FetchPage(url=url, about=about), HERE)


async def test_passages_name_the_page_as_their_source_and_their_place_on_it(site: Site) -> None:
    result = await call(site, "/leave#top")
    url = f"http://pages.example:{site.port}/leave"
    assert [one["heading"] for one in result.evidence] == [
        ["Leave at Acme", "Holiday"],
        ["Leave at Acme", "Illness"],
        ["Leave at Acme", "Moving house"],
    ]
    assert {one["source"] for one in result.evidence} == {url}
    assert {one["title"] for one in result.evidence} == {"Leave at Acme"}
    assert len({one["chunk_id"] for one in result.evidence}) == 3
    assert "Home" not in result.content
    assert "| far | 2 |" in result.content

    whole = await read(
        Fetched(url=url, media_type="text/html", charset="utf-8", body=LEAVE.encode()),
        parser=InlineParser(),
    )
    parsed = await InlineParser().parse(LEAVE.encode(), name="leave.html")
    for one, passage in zip(result.evidence, whole.passages, strict=True):
        start, end = one["span"]
        assert parsed.text[start:end] == one["text"] == passage.text
        assert one["document_id"] == passage.document_id


async def test_what_is_looked_for_comes_first_where_not_all_fits(site: Site) -> None:
    result = await call(site, "/leave", about="days when moving house", limit=1)
    assert [one["heading"][-1] for one in result.evidence] == ["Moving house"]
    assert result.content.startswith("1 of 3 passages of Leave at Acme, http://pages.example")
    both = await call(site, "/leave", about="call when moving house", limit=2)
    assert [one["heading"][-1] for one in both.evidence] == ["Illness", "Moving house"]


async def test_words_that_are_nowhere_give_the_beginning(site: Site) -> None:
    result = await call(site, "/leave", about="zymurgy", limit=1)
    assert [one["heading"][-1] for one in result.evidence] == ["Holiday"]


async def test_the_same_page_has_the_same_ids_each_time(site: Site) -> None:
    first, again = [await call(site, "/leave") for _ in range(2)]
    assert [one["chunk_id"] for one in first.evidence] == [
        one["chunk_id"] for one in again.evidence
    ]


async def test_a_pdf_is_read_in_the_process_that_can_be_killed(site: Site) -> None:
    site.replies["/a"] = page(pdf("One thing.", "Another."), media_type="application/pdf")
    parser = SandboxedParser()
    try:
        result = await call(site, "/a", parser=parser)
    finally:
        await parser.close()
    assert [(one["page"], one["text"]) for one in result.evidence] == [
        (1, "One thing."),
        (2, "Another."),
    ]
    assert result.evidence[0]["title"] == f"pages.example:{site.port}/a"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (page(b"\x89PNG\r\n\x1a\n\0\0", media_type="text/html"), "a PNG image"),
        (page(b"PK\x03\x04broken", media_type="application/octet-stream"), "cut short or broken"),
        (page("  "), "holds no text"),
        (page("<html><body><script>x()</script></body></html>"), "if scripts fill it in"),
        (page("x", media_type="image/png"), "image/png"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", "status 500"),
    ],
)
async def test_what_cannot_be_read_is_told_to_the_model(
    site: Site, reply: bytes, told: str
) -> None:
    site.replies["/a"] = reply
    with pytest.raises(ToolError, match=rf"^The page could not be read: .*{told}"):
        await call(site, "/a")


async def test_an_inner_address_is_told_to_the_model_without_the_address(site: Site) -> None:
    with pytest.raises(ToolError, match="not of the public internet") as raised:
        async with tool(site) as made:
            await made.call(FetchPage(url="http://169.254.7.7/"), HERE)
    assert "169.254" not in str(raised.value)


async def test_a_redirect_is_followed_only_where_the_rules_would_allow_the_call(
    site: Site,
) -> None:
    there = f"http://other.example:{site.port}/leave"
    site.replies["/a"] = moved(there)
    asked: list[tuple[Mapping[str, Any], ToolContext]] = []

    def allowing(args: Mapping[str, Any], context: ToolContext) -> bool:
        asked.append((args, context))
        return True

    with pytest.raises(ToolError, match=f"call fetch_page with {there}"):
        await call(site, "/a", about="holiday")
    assert site.called == 1
    result = await call(site, "/a", about="holiday", permits=allowing)
    assert result.evidence[0]["source"] == there
    assert asked == [({"url": there, "about": "holiday"}, HERE)]


@pytest.mark.parametrize(
    ("url", "media_type", "name"),
    [
        ("https://a.example/", "text/html", "page.html"),
        ("https://a.example/index.php?a=b.c", "text/html", "index.php.html"),
        ("https://a.example/x.pdf", "application/octet-stream", "x.pdf"),
        ("https://a.example/README.md", "text/plain", "README.md"),
        ("https://a.example/X.HTML", "text/html", "X.HTML"),
    ],
)
def test_the_type_that_is_declared_decides_over_the_name(
    url: str, media_type: str, name: str
) -> None:
    assert file_name(Fetched(url=url, media_type=media_type, charset="", body=b"")) == name


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("iso-8859-1", "très “chaud”".encode("cp1252"), "très “chaud”"),
        ("shift_jis", "日本語".encode("shift_jis"), "日本語"),
        ("gb2312", "朱镕基".encode("gbk"), "朱镕基"),
        ("iso-2022-jp", "日本語".encode("iso-2022-jp"), "日本語"),
        ("utf-16", "wide".encode("utf-16"), "wide"),
        ("iso-8859-1", "déjà".encode(), "déjà"),
    ],
)
def test_the_charset_that_the_server_names_counts(charset: str, body: bytes, text: str) -> None:
    fetched = Fetched(url="https://a.example/", media_type="text/html", charset=charset, body=body)
    assert in_utf8(fetched).decode("utf-8-sig") == text


@pytest.mark.parametrize("charset", ["punycode", "unicode_escape", "zip", "nonsense", "utf-8"])
def test_what_is_no_charset_of_the_web_is_left_alone(charset: str) -> None:
    body = "é".encode("cp1252")
    fetched = Fetched(url="https://a.example/", media_type="text/html", charset=charset, body=body)
    assert in_utf8(fetched) == body


async def test_real_pages_give_what_their_readers_see(site: Site, awkward: Path) -> None:
    for name, words, about in (
        ("html_wikipedia.html", "Mallard landing in approach", "mallard landing"),
        ("html_blog.html", "Experiment Setup", "experiment setup"),
        ("html_cp1252.html", "15,50 €", "très chaud"),
    ):
        site.replies["/x"] = page((awkward / name).read_bytes(), media_type="text/html")
        result = await call(site, "/x", about=about, limit=3)
        shown = result.content + "".join(str(one["heading"]) for one in result.evidence)
        assert words in shown, name


def test_the_schema_bounds_the_arguments() -> None:
    parameters = FetchPage.model_json_schema()
    jsonschema.validate({"url": "https://a.example/"}, parameters)
    for wrong in ({"url": ""}, {"url": "x" * 2001}, {"url": "x", "about": "y" * 201}, {}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, parameters)
