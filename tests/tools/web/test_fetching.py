"""A page is fetched; what is chosen by a stranger leads nowhere else, and has an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import hosts
from tests.tools.web.site import Names, Site, fetching, moved, page, serving
from tools.web import addresses
from tools.web.addresses import AddressError, Opened
from tools.web.errors import (
    PageMovedError,
    PageRefusedError,
    PageUnreachableError,
    PageUnreadableError,
)
from tools.web.fetching import FetchLimits

CLOSED = Opened()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving({"/": page("<p>Hello.</p>")}) as found:
        yield found


async def refused(site: Site, url: str, *, names: Names | None = None) -> str:
    """How a fetch of what nobody opened is refused; no connection is made."""
    async with fetching(site, opened=CLOSED, names=names) as fetcher:
        with pytest.raises(PageRefusedError) as raised:
            await fetcher.fetch(url)
    assert site.called == 0
    return str(raised.value)


async def test_a_page_is_fetched_from_where_its_name_leads(site: Site) -> None:
    site.replies["/a"] = page("Hi", media_type='Text/Plain; x=y; charset="UTF-8"')
    async with fetching(site) as fetcher:
        found = await fetcher.fetch(f"HTTP://Pages.Example:{site.port}/a?b=%20c#d")
    assert found.body == b"Hi"
    assert (found.media_type, found.charset) == ("text/plain", "utf-8")
    assert found.url == f"http://pages.example:{site.port}/a?b=%20c"
    assert site.got[0].startswith("GET /a?b=%20c HTTP/1.1\r\n")
    assert site.header("Host") == f"pages.example:{site.port}"


async def test_a_request_says_who_asks_and_carries_nothing_of_ours(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.1:9")
    site.replies["/"] = page("x", Set_Cookie="a=b; Path=/", media_type="text/plain")
    async with fetching(site) as fetcher:
        for _ in range(2):
            await fetcher.fetch(f"http://pages.example:{site.port}/")
    assert site.called == 2
    assert site.header("User-Agent") == "Counterpoint/test"
    assert site.header("Accept-Encoding") == "gzip"
    for name in ("Cookie", "Authorization", "Referer", "Proxy-Authorization"):
        assert site.header(name) is None


async def test_tls_names_the_host_of_the_url_to_the_address_that_was_judged() -> None:
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set_result(await reader.read(4096))
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, fetching(Site(port=port)) as fetcher:
        with pytest.raises(PageUnreachableError):
            await fetcher.fetch(f"https://pages.example:{port}/")
        hello = await heard
    assert hello.startswith(b"\x16\x03")
    assert b"pages.example" in hello


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("127.0.0.1", id="plain"),
        pytest.param("2130706433", id="decimal"),
        pytest.param("0x7f000001", id="hex"),
        pytest.param("0x7f.1", id="short_hex"),
        pytest.param("0177.0.0.1", id="octal"),
        pytest.param("017700000001", id="octal_in_one"),
        pytest.param("127.1", id="short"),
        pytest.param("0", id="zero"),
        pytest.param("[::1]", id="ipv6"),
        pytest.param("[::ffff:127.0.0.1]", id="mapped"),
        pytest.param("[::ffff:7f00:1]", id="mapped_in_hex"),
        pytest.param("[::127.0.0.1]", id="compatible"),
        pytest.param("[64:ff9b::7f00:1]", id="nat64"),
        pytest.param("[2002:7f00:1::]", id="6to4"),
        pytest.param("169.254.7.7", id="link_local"),
        pytest.param("localhost", id="localhost"),
        pytest.param("a.localhost.", id="below_localhost"),
        pytest.param("１２７.0.0.1", id="idn_full_width_digits"),
        pytest.param("127。0。0。1", id="idn_full_stops"),
        pytest.param("ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", id="idn_circled_letters"),
    ],
)
async def test_no_spelling_of_an_inner_address_is_asked(site: Site, host: str) -> None:
    told = await refused(site, f"http://{host}:{site.port}/")
    assert "not of the public internet" in told


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://user@127.0.0.1:{port}/", id="userinfo"),
        pytest.param("http://pages.example:80@127.0.0.1:{port}/", id="userinfo_like_a_host"),
        pytest.param("http://pages.example%40127.0.0.1:{port}/", id="userinfo_encoded"),
        pytest.param("http://pages.example\\@127.0.0.1:{port}/", id="backslash"),
        pytest.param("http://127.0.0.1:{port}\t/", id="tab"),
        pytest.param("http://pages.example/\r\nHost: inner", id="line_break"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("gopher://127.0.0.1:{port}/_GET%20/", id="gopher"),
        pytest.param("ftp://127.0.0.1:{port}/", id="ftp"),
        pytest.param("data:text/plain,x", id="data"),
        pytest.param("//127.0.0.1:{port}/", id="no_scheme"),
        pytest.param("http://\ud800.example/", id="half_a_character"),
    ],
)
async def test_what_is_no_plain_web_url_is_not_asked(site: Site, url: str) -> None:
    await refused(site, url.format(port=site.port))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(["127.0.0.1"], id="loopback"),
        pytest.param(["10.0.0.5"], id="private_cname"),
        pytest.param(["93.184.215.14", "127.0.0.1"], id="one_of_several"),
        pytest.param(["::ffff:10.0.0.5"], id="mapped"),
        pytest.param(["fd00::1"], id="unique_local"),
        pytest.param(["169.254.7.7"], id="link_local"),
    ],
)
async def test_a_name_that_leads_inside_is_not_asked(site: Site, answer: list[str]) -> None:
    names = Names({"pages.example": [answer]})
    told = await refused(site, f"http://pages.example:{site.port}/", names=names)
    assert names.asked == ["pages.example"]
    # What inner names lead to is not told.
    assert not any(address in told for address in answer)


async def test_a_name_that_rebinds_between_check_and_use_gains_nothing(site: Site) -> None:
    names = Names({"pages.example": [["127.0.0.1"], ["127.0.0.9"]]})
    async with fetching(site, names=names) as fetcher:
        found = await fetcher.fetch(f"http://pages.example:{site.port}/")
    assert found.body == b"<p>Hello.</p>"
    assert names.asked == ["pages.example"]


async def test_a_name_that_rebinds_before_a_redirect_is_judged_anew(site: Site) -> None:
    names = Names({"pages.example": [["127.0.0.1"], ["127.0.0.9"]]})
    site.replies["/"] = moved("/b")
    async with fetching(site, names=names) as fetcher:
        with pytest.raises(PageRefusedError, match="not of the public internet"):
            await fetcher.fetch(f"http://pages.example:{site.port}/")
    assert names.asked == ["pages.example"] * 2
    assert site.called == 1


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("http://169.254.7.7/latest/", id="link_local"),
        pytest.param("http://2851997447/", id="link_local_in_decimal"),
        pytest.param("//[::ffff:a9fe:707]/", id="link_local_mapped"),
        pytest.param("http://inner.example/", id="private_name"),
        pytest.param("http://user:pass@pages.example/", id="userinfo"),
        pytest.param("file:///etc/passwd", id="file"),
        pytest.param("gopher://pages.example/", id="gopher"),
        pytest.param("http://pages.example:22/", id="port"),
        pytest.param("http://[::1", id="no_url"),
    ],
)
async def test_a_redirect_to_what_may_not_be_asked_is_not_followed(
    site: Site, location: str
) -> None:
    site.replies["/"] = moved(location)
    names = Names({"pages.example": [["127.0.0.1"]], "inner.example": [["10.0.0.5"]]})
    async with fetching(site, names=names) as fetcher:
        with pytest.raises(PageRefusedError):
            await fetcher.fetch(f"http://pages.example:{site.port}/")
    assert site.called == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_followed_to_its_end(site: Site, status: int) -> None:
    site.replies |= {"/a": moved("b/../c?x=ü", status=status), "/c": page("There")}
    async with fetching(site) as fetcher:
        found = await fetcher.fetch(f"http://pages.example:{site.port}/a")
    assert found.body == b"There"
    assert found.url.endswith("/c?x=%C3%BC")


async def test_redirects_in_a_circle_have_an_end(site: Site) -> None:
    site.replies |= {"/a": moved("/b"), "/b": moved("/a"), "/self": moved("/self")}
    async with fetching(site, limits=FetchLimits(redirects=3)) as fetcher:
        for path in ("/a", "/self"):
            with pytest.raises(PageUnreachableError, match="more than 3 times"):
                await fetcher.fetch(f"http://pages.example:{site.port}{path}")
    assert site.called == 8


async def test_a_redirect_that_nobody_permits_is_told_instead(site: Site) -> None:
    site.replies["/a"] = moved("http://elsewhere.example/b")
    asked: list[str] = []

    def never(url: str) -> bool:
        asked.append(url)
        return False

    async with fetching(site) as fetcher:
        with pytest.raises(PageMovedError) as raised:
            await fetcher.fetch(f"http://pages.example:{site.port}/a", may_follow=never)
    assert raised.value.url == "http://elsewhere.example/b"
    assert asked == ["http://elsewhere.example/b"]


async def test_the_same_page_with_tls_needs_no_permission(site: Site) -> None:
    site.replies["/a"] = moved("https://pages.example/a")
    async with fetching(site, names=Names({"pages.example": [["127.0.0.1"], ["10.0.0.1"]]})) as one:
        # It gets as far as the second lookup.
        with pytest.raises(PageRefusedError):
            await one.fetch(f"http://pages.example:{site.port}/a", may_follow=lambda url: False)


async def test_only_open_ports_are_asked(site: Site) -> None:
    url = f"http://pages.example:{site.port}/"
    async with fetching(site, ports=frozenset({80, 443})) as fetcher:
        with pytest.raises(PageRefusedError, match=r"port \d+; only 80 and 443"):
            await fetcher.fetch(url)
        assert site.called == 0
        # An address that was opened is open on every port.
        await fetcher.fetch(f"http://127.0.0.1:{site.port}/")
    async with fetching(
        site, ports=frozenset({80}), opened=Opened.of(["pages.example"])
    ) as fetcher:
        assert (await fetcher.fetch(url)).body == b"<p>Hello.</p>"


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (page("x", media_type="image/png"), "image/png"),
        (page("x", media_type="video/mp4"), "video/mp4"),
        (page("x", media_type="text/event-stream"), "no text to read"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 302 Nowhere\r\nContent-Length: 0\r\n\r\n", "status 302"),
        (b"HTTP/1.1 206 Part\r\nContent-Length: 0\r\n\r\n", "status 206"),
    ],
)
async def test_what_gives_no_text_is_told(site: Site, reply: bytes, told: str) -> None:
    site.replies["/"] = reply
    async with fetching(site) as fetcher:
        with pytest.raises(PageUnreadableError, match=told):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"SSH-2.0-OpenSSH_9\r\n",
        page("whole").replace(b"Content-Length: 5", b"Content-Length: 9"),
    ],
    ids=["nothing", "other_protocol", "cut_short"],
)
async def test_what_is_no_answer_is_told(site: Site, reply: bytes) -> None:
    site.replies["/"] = reply
    async with fetching(site) as fetcher:
        with pytest.raises(PageUnreachableError):
            await fetcher.fetch(f"http://pages.example:{site.port}/")


async def test_a_name_that_nobody_knows_is_told(site: Site) -> None:
    async with fetching(site) as fetcher:
        with pytest.raises(PageUnreachableError, match="no connection"):
            await fetcher.fetch("http://unknown.example/")


@given(st.text(alphabet="ab.:@/\\[]%?#-_0x17１。ßİ ", max_size=30))
def test_a_rule_never_reads_another_host_than_the_one_that_is_asked(rest: str) -> None:
    url = f"http://{rest}"
    try:
        asked = addresses.parse(url).host
    except AddressError:
        return
    assert hosts.host_of(url) in (asked, None)


@given(st.text(max_size=40))
def test_no_text_breaks_the_check_of_a_url(text: str) -> None:
    for url in (text, f"http://{text}", f"http://pages.example/{text}"):
        try:
            addresses.check(url, CLOSED)
        except AddressError:
            continue
