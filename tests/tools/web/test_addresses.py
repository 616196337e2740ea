"""Which URLs lead outside."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from tools.web.addresses import AddressError, Opened, RefusedError, check, is_public, parse
from tools.web.resolver import ApartResolver, JudgedResolver

CLOSED = Opened()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7F.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0x",
        "127.0.0.1.",
        "１２７.0.0.1",
        "127。0。0。1",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.0.8",
        "198.18.0.1",
        "203.0.113.9",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "[::1]",
        "[::]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:c0a8:101::1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[fe80::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fec0::1]",
        "[ff02::1]",
        "[2001:db8::1]",
        "localhost",
        "LocalHost",
        "localhost.",
        "a.localhost",
    ],
)
def test_what_is_not_of_the_public_internet_is_refused(host: str) -> None:
    with pytest.raises(RefusedError):
        check(f"http://{host}/", CLOSED)
    with pytest.raises(RefusedError):
        check(f"https://{host}:8443/x?y", CLOSED)


@pytest.mark.parametrize(
    ("url", "understood"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/a b".replace(" ", "%20"), "https://example.com/a%20b"),
        ("http://example.com.:8080/x?q=1#part", "http://example.com:8080/x?q=1"),
        ("https://münchen.example/ü?ä=ö", "https://xn--mnchen-3ya.example/%C3%BC?%C3%A4=%C3%B6"),
        ("http://134744072/", "http://8.8.8.8/"),
        ("http://0x08.8.2056/", "http://8.8.8.8/"),
        ("http://[2606:4700::0:1111]/", "http://[2606:4700::1111]/"),
        ("http://[64:ff9b::8.8.8.8]/", "http://[64:ff9b::808:808]/"),
        ("http://a_b.example/", "http://a_b.example/"),
    ],
)
def test_a_public_url_is_spelled_in_one_way(url: str, understood: str) -> None:
    assert check(url, CLOSED).url == understood
    assert check(understood, CLOSED).url == understood


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/hook",
        "example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "http:///x",
        "http://",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://example.com@127.0.0.1/",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:x/",
        "http://exa mple.com/",
        "http://example.com\\@127.0.0.1/",
        "http://example.com/\r\nHost: x",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://exam%70le.com/",
        "http://256.1.1.1/",
        "http://1.2.3.4.5/",
        "http://08.0.0.1/",
        "http://1.2.3.0x1ffff/",
        "http://-a.example/",
        "http://a..example/",
        "http://" + "a" * 64 + ".example/",
        "http://example.com/" + "a" * 2000,
    ],
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(AddressError):
        check(url, CLOSED)


def test_an_operator_opens_names_addresses_and_networks() -> None:
    opened = Opened.of(["localhost", "hooks.internal", "10.1.0.0/16", "192.168.7.7", "[::1]"])
    assert check("http://localhost:3000/", opened).url == "http://localhost:3000/"
    # How this one is written differs from Python to Python.
    mapped = ipaddress.ip_address("::ffff:10.1.2.3")
    for open_ in ("10.1.2.3", f"[{mapped}]", "192.168.7.7", "[::1]:9"):
        assert check(f"http://{open_}/", opened).url == f"http://{open_}/"
    for closed in ("http://127.0.0.1/", "http://10.2.0.1/", "http://192.168.7.8/"):
        with pytest.raises(RefusedError):
            check(closed, opened)
    opened.judge("hooks.internal", ipaddress.ip_address("10.9.9.9"))
    with pytest.raises(RefusedError):
        opened.judge("other.internal", ipaddress.ip_address("10.9.9.9"))


@pytest.mark.parametrize("word", ["10.0.0.1/8", "a/b", "", "http://x", "a b"])
def test_what_opens_nothing_is_no_setting(word: str) -> None:
    with pytest.raises(ValueError):
        Opened.of([word])


@given(st.integers(0, 2**32 - 1))
def test_every_spelling_of_an_address_is_the_same_address(number: int) -> None:
    plain = ipaddress.IPv4Address(number)
    a, b, c, d = plain.packed
    spellings = [
        str(plain),
        str(number),
        hex(number),
        f"0{number:o}",
        f"{a}.{b}.{c * 256 + d}",
        f"{a}.{(b << 16) + (c << 8) + d}",
        f"0x{a:x}.0{b:o}.{c}.{d}",
        f"{plain}.",
    ]
    assert {parse(f"http://{one}/").host for one in spellings} == {str(plain)}
    public = is_public(plain)
    for wrapped in (f"::ffff:{plain}", f"64:ff9b::{plain}"):
        address = ipaddress.ip_address(wrapped)
        if public:
            CLOSED.judge("x", address)
        else:
            with pytest.raises(RefusedError):
                CLOSED.judge("x", address)


@given(st.text(max_size=60))
def test_no_text_is_understood_as_something_that_is_not_judged(text: str) -> None:
    try:
        target = check(f"http://{text}", CLOSED)
    except AddressError:
        return
    assert target.host.isascii()
    assert parse(target.url) == target


class Names(AbstractResolver):
    """Resolves by a list."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        found: list[Any] = [
            {"hostname": host, "host": one, "port": port, "family": family, "proto": 0, "flags": 0}
            for one in self.known[host]
        ]
        return found

    async def close(self) -> None:
        pass


async def test_one_bad_address_among_a_name_s_is_enough() -> None:
    names = Names(good=["93.184.215.14", "2606:4700::1111"], bad=["93.184.215.14", "127.0.0.1"])
    resolver = JudgedResolver(CLOSED, inner=names)
    found = await resolver.resolve("good", 80)
    assert [one["host"] for one in found] == ["93.184.215.14", "2606:4700::1111"]
    with pytest.raises(RefusedError, match=r"bad is at 127\.0\.0\.1"):
        await resolver.resolve("bad", 80)
    assert names.asked == 2


async def test_an_address_with_a_scope_is_judged_too() -> None:
    with pytest.raises(RefusedError):
        await JudgedResolver(CLOSED, inner=Names(x=["fe80::1%eth0"])).resolve("x")


async def test_names_are_looked_up_by_the_machine_and_judged() -> None:
    apart = ApartResolver(threads=1)
    found = await apart.resolve("localhost", 80)
    assert {one["host"] for one in found} <= {"127.0.0.1", "::1"}
    assert found[0]["port"] == 80
    judged = JudgedResolver(CLOSED, inner=apart)
    with pytest.raises(RefusedError):
        await judged.resolve("localhost", 80)
    await judged.close()
    with pytest.raises(RuntimeError):
        await apart.resolve("localhost", 80)


async def test_a_lookup_that_hangs_holds_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, over = threading.Event(), threading.Event()

    def hang(*_: object, **__: object) -> list[object]:
        hanging.set()
        over.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    apart = ApartResolver(threads=1)
    waiting = [asyncio.create_task(apart.resolve("slow.example")) for _ in range(40)]
    try:
        assert await asyncio.to_thread(hanging.wait, 10)
        # The loop's own threads are free.
        assert await asyncio.to_thread(lambda: "done") == "done"
    finally:
        over.set()
        for one in waiting:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        await apart.close()
