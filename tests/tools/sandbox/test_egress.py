"""The way out to named hosts: what the proxy asks and refuses, and what a guest makes of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from tests.tools.sandbox.conftest import required
from tests.tools.sandbox.test_abuse import BOUND
from tools.sandbox.abuse import Attack, assault_session
from tools.sandbox.egress import Egress, EgressLimits, received
from tools.sandbox.find import open_sandbox
from tools.sandbox.hosts import checked, checked_hosts, is_named
from tools.sandbox.network_abuse import NETWORK_ATTACKS, session_attacks
from tools.sandbox.proxy import Door
from tools.sandbox.sandbox import MEBIBYTE, Limits, SandboxError
from tools.web.addresses import AddressError, Opened

PATTERNS = ("api.test", "*.inner.test")


class Names(AbstractResolver):
    """Answers from a table; a list is given out one by one."""

    table: dict[str, list[str]]
    asked: list[str]

    def __init__(self, **table: str) -> None:
        self.table = {
            name.replace("_", "."): addresses.split() for name, addresses in table.items()
        }
        self.asked = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.table.get(host)
        if not found:
            raise OSError(f"no such name: {host}")
        address = found.pop(0) if len(found) > 1 else found[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


@dataclass(kw_only=True)
class Upstream:
    """A web server on loopback that says what it was asked."""

    port: int
    seen: list[str]


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        names = sorted(name.lower() for name in request.headers)
        body = await request.text()
        seen.append(f"{request.method} {request.headers['Host']} {request.path_qs} {body}".strip())
        return web.Response(text=" ".join(names))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield Upstream(port=runner.addresses[0][1], seen=seen)
    await runner.cleanup()


def _egress(
    names: Names, *, port: int, opened: tuple[str, ...] = ("api.test",), limits: EgressLimits
) -> Egress:
    return Egress(
        patterns=PATTERNS,
        ports=frozenset({80, 443, port}),
        opened=Opened.of(opened),
        limits=limits,
        certificates=b"",
        resolver=lambda: names,
    )


@contextlib.asynccontextmanager
async def _door(
    names: Names,
    upstream: Upstream,
    *,
    opened: tuple[str, ...] = ("api.test",),
    limits: EgressLimits | None = None,
) -> AsyncIterator[int]:
    """The proxy on a port of this machine."""
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    kept = limits or EgressLimits(seconds=BOUND)
    door = Door(listener, _egress(names, port=upstream.port, opened=opened, limits=kept))
    try:
        yield port
    finally:
        await door.close()


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(BOUND):
            return await reader.read()
    finally:
        writer.close()


async def test_a_named_host_is_asked_at_the_address_that_was_judged(upstream: Upstream) -> None:
    names = Names(api_test="127.0.0.1")
    async with _door(names, upstream) as port:
        request = (
            f"POST http://API.test.:{upstream.port}/a%20b?c=1 HTTP/1.1\r\nHost: other.example\r\n"
            "Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\n"
            "Content-Length: 3\r\n\r\nx=1"
        )
        answer = await _ask(port, request.encode())
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\nconnection content-length host")
    assert upstream.seen == [f"POST api.test:{upstream.port} /a%20b?c=1 x=1"]
    assert names.asked == ["api.test"]


async def test_a_tunnel_carries_bytes_both_ways(upstream: Upstream) -> None:
    async with _door(Names(api_test="127.0.0.1"), upstream) as port:
        tunnel = f"CONNECT api.test:{upstream.port} HTTP/1.1\r\n\r\n"
        inside = "GET / HTTP/1.1\r\nHost: api.test\r\nConnection: close\r\n\r\n"
        answer = await _ask(port, (tunnel + inside).encode())
    assert answer.startswith(b"HTTP/1.1 200 Connection established\r\n\r\nHTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("other.test", b"not among the hosts"),
        ("inner.test", b"not among the hosts"),
        ("apixtest", b"not among the hosts"),
        ("127.0.0.1", b"an address is not among"),
        ("0x7f.1", b"an address is not among"),
        ("[::1]", b"an address is not among"),
        ("169.254.169.254", b"an address is not among"),
        ("meta.inner.test", b"is at 169.254.169.254"),
        ("private.inner.test", b"is at 10.0.0.1"),
        ("mapped.inner.test", b"is at ::ffff:"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
async def test_what_is_not_named_or_lies_inside_is_refused(
    upstream: Upstream, method: str, host: str, words: bytes
) -> None:
    names = Names(
        meta_inner_test="169.254.169.254",
        private_inner_test="10.0.0.1",
        mapped_inner_test="::ffff:169.254.169.254",
    )
    async with _door(names, upstream) as port:
        where = f"{host}:443" if method == "CONNECT" else f"http://{host}/"
        answer = await _ask(port, f"{method} {where} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert words in answer


@pytest.mark.parametrize("port_asked", [22, 25, 6379])
async def test_other_ports_are_refused(upstream: Upstream, port_asked: int) -> None:
    async with _door(Names(api_test="127.0.0.1"), upstream) as port:
        answer = await _ask(port, f"CONNECT api.test:{port_asked} HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert f"port {port_asked} is not among those".encode() in answer


async def test_a_name_that_changes_its_address_gains_nothing(upstream: Upstream) -> None:
    """Each connection looks the name up once, and goes to what was judged."""
    names = Names(a_inner_test="127.0.0.1 169.254.169.254 127.0.0.1")
    async with _door(names, upstream, opened=("127.0.0.0/8",)) as port:
        request = f"GET http://a.inner.test:{upstream.port}/ HTTP/1.1\r\n\r\n".encode()
        answers = [await _ask(port, request) for _ in range(3)]
    assert [answer[9:12] for answer in answers] == [b"200", b"403", b"200"]
    assert len(names.asked) == 3


async def test_a_private_address_is_asked_where_it_is_opened_alone(upstream: Upstream) -> None:
    request = f"GET http://a.inner.test:{upstream.port}/ HTTP/1.1\r\n\r\n".encode()
    async with _door(Names(a_inner_test="127.0.0.1"), upstream, opened=()) as port:
        assert (await _ask(port, request))[9:12] == b"403"
    async with _door(Names(a_inner_test="127.0.0.1"), upstream, opened=("127.0.0.1",)) as port:
        assert (await _ask(port, request))[9:12] == b"200"


async def test_a_host_that_is_not_there_is_told(upstream: Upstream) -> None:
    async with _door(Names(), upstream) as port:
        assert (await _ask(port, b"GET http://api.test/ HTTP/1.1\r\n\r\n"))[9:12] == b"502"


async def test_bytes_are_counted_for_the_whole_session(upstream: Upstream) -> None:
    limits = EgressLimits(bytes=100, seconds=BOUND)
    async with _door(Names(api_test="127.0.0.1"), upstream, limits=limits) as port:
        request = f"GET http://api.test:{upstream.port}/ HTTP/1.1\r\n\r\n".encode()
        with contextlib.suppress(OSError):
            await _ask(port, request)
        assert b"bytes are used up" in await _ask(port, request)


async def test_connections_are_counted(upstream: Upstream) -> None:
    limits = EgressLimits(connections=3, seconds=BOUND)
    async with _door(Names(), upstream, limits=limits) as port:
        for _ in range(3):
            assert (await _ask(port, b"x\r\n\r\n"))[9:12] == b"400"
        with pytest.raises(OSError):
            await _ask(port, b"x\r\n\r\n")


async def test_a_connection_ends_with_its_time_and_makes_room(upstream: Upstream) -> None:
    limits = EgressLimits(at_once=1, seconds=0.2, connect_seconds=0.2)
    async with _door(Names(), upstream, limits=limits) as port:
        _, idle = await asyncio.open_connection("127.0.0.1", port)
        assert (await _ask(port, b"x\r\n\r\n"))[9:12] == b"400"
        idle.close()


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_what_a_kernel_hands_out_must_listen(kind: socket.SocketKind) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket(socket.AF_INET, kind) as handed:
        with pytest.raises(SandboxError, match="no way to the hosts"):
            received(ours)
        socket.send_fds(theirs, [b"L"], [handed.fileno()])
        with pytest.raises(SandboxError, match="does not listen"):
            received(ours)


def test_hosts_are_names() -> None:
    assert checked_hosts(["API.Example.com", "*.b.example"]) == ("api.example.com", "*.b.example")
    for wrong in (
        "",
        "*",
        "*.com",
        "10.0.0.1",
        "a/b",
        "http://a.b",
        "a:80",
        "a b",
        "*.*.a.b",
        "[::1]",
    ):
        with pytest.raises(ValueError, match=r"is no host|top-level"):
            checked_hosts([wrong])


@given(st.text(alphabet="apitesn.:/@#[]%0123456789xX*\\ ", max_size=40))
def test_whatever_is_asked_for_is_refused_or_a_named_host(text: str) -> None:
    try:
        target = checked(f"http://{text}", patterns=PATTERNS, ports={80, 443}, opened=Opened())
    except AddressError:
        return
    assert is_named(target.host, PATTERNS)
    assert target.port in {80, 443}


async def test_code_asks_a_named_host_by_what_its_libraries_know(upstream: Upstream) -> None:
    names = Names(api_test="127.0.0.1")
    egress = _egress(names, port=upstream.port, limits=EgressLimits(seconds=BOUND))
    sandbox = required(await open_sandbox(limits=Limits(seconds=60.0), egress=egress))
    session = await sandbox.create()
    code = f"""
import subprocess, sys, urllib.error, urllib.request
print(urllib.request.urlopen("http://api.test:{upstream.port}/one").status)
try:
    urllib.request.urlopen("http://other.test/")
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode().strip())
child = "import urllib.request; urllib.request.urlopen('http://api.test:{upstream.port}/two')"
subprocess.run([sys.executable, "-c", child], check=True)
"""
    execution = await session.run(code)
    single = await sandbox.run("import socket; socket.socket()")
    await sandbox.close()
    assert (execution.stdout, execution.stderr) == (
        "200\n403 other.test is not among the hosts that code here may ask\n",
        "",
    )
    asked = [f"GET api.test:{upstream.port} /one", f"GET api.test:{upstream.port} /two"]
    assert upstream.seen == asked
    assert "PermissionError" in single.stderr


@pytest.mark.parametrize(
    "attack", session_attacks(NETWORK_ATTACKS, asks=False), ids=lambda a: a.name
)
async def test_an_attack_on_the_way_out_is_held_off(attack: Attack) -> None:
    limits = Limits(memory_bytes=96 * MEBIBYTE, seconds=60.0)
    sandbox = required(
        await open_sandbox(limits=limits, egress=Egress(patterns=("named.example",)))
    )
    finding = await assault_session(sandbox, attack, limits=limits)
    await sandbox.close()
    assert finding.holds, finding.execution
