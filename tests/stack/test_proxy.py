"""The proxy before two replicas that answer, refuse, and end in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from scripts.stack import topology
from scripts.stack.supervisor import Look, Process, Supervisor
from tests.faults.redis_process import free_port


@dataclass
class Replica:
    """An HTTP server that says its name, or ends before it says a byte where it is told to."""

    name: str
    port: int
    asked: list[str] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    ends: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._answer(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: *(\d+)", head, re.I)
        await reader.readexactly(int(length[1]) if length else 0)
        method, path, _ = head.split(" ", 2)
        if path != "/ok":
            self.asked.append(f"{method} {path}")
            self.heads.append(head.lower())
            if self.ends:
                return False
        if path == "/stream":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
            writer.write(b"data: first\n\n")
            await self.more.wait()
            writer.write(b"data: second\n\n")
            await writer.drain()
            return False
        body = self.name.encode()
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await writer.drain()
        return True


def _listens(port: int) -> Look:
    async def look() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    return look


@asynccontextmanager
async def proxied(
    folder: Path, *, certificate: Path | None = None
) -> AsyncIterator[tuple[httpx.AsyncClient, Replica, Replica]]:
    haproxy = topology.program("haproxy")
    if haproxy is None:
        assert not os.environ.get("CI"), "no haproxy on this machine"
        pytest.skip("no haproxy on this machine: apt-get install haproxy")
    one, two = Replica("one", free_port()), Replica("two", free_port())
    port = free_port()
    options = "" if certificate is None else f" ssl crt {certificate}"
    url = f"http{'s' if certificate else ''}://127.0.0.1:{port}"
    process = Process(
        name="proxy",
        words=[haproxy, "-db", "-f", str(topology.PROXY_CONFIG)],
        environment={
            "PROXY_BIND": f"127.0.0.1:{port}{options}",
            "API_1": f"127.0.0.1:{one.port}",
            "API_2": f"127.0.0.1:{two.port}",
        },
        look=topology.answers(f"{url}/ok") if certificate is None else _listens(port),
    )
    trusted = ssl.create_default_context(cafile=certificate)
    async with contextlib.AsyncExitStack() as stack:
        for replica in (one, two):
            await replica.start()
            stack.push_async_callback(replica.stop)
        await stack.enter_async_context(
            Supervisor([[process]], logs=folder / "logs", tell=lambda line: None)
        )
        client = httpx.AsyncClient(base_url=url, trust_env=False, timeout=30, verify=trusted)
        yield await stack.enter_async_context(client), one, two


async def test_both_replicas_are_asked_and_events_are_passed_on_at_once(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (client, one, two):
        said = {(await client.get("/threads")).text for _ in range(10)}
        assert said == {"one", "two"}
        async with client.stream("GET", "/stream") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "data: first"
            one.more.set()
            two.more.set()
            assert [line async for line in lines if line] == ["data: second"]


async def test_whoever_is_refused_by_one_replica_is_answered_by_the_other(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (client, one, two):
        await one.stop()
        for method in ("GET", "POST", "DELETE"):
            for _ in range(6):
                reply = await client.request(method, "/threads")
                assert (reply.status_code, reply.text) == (200, "two")
        assert len(two.asked) == 18


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/approvals", {}),
        ("POST", "/documents/search", {}),
        ("POST", "/threads/x/runs", {"Idempotency-Key": "k"}),
    ],
)
async def test_what_may_be_repeated_is_asked_of_the_other_replica_when_one_ends(
    tmp_path: Path, method: str, path: str, headers: dict[str, str]
) -> None:
    async with proxied(tmp_path) as (client, one, _):
        one.ends = True
        for _ in range(8):
            reply = await client.request(method, path, headers=headers, content=b"x")
            assert (reply.status_code, reply.text) == (200, "two")
        assert one.asked


async def test_a_write_without_a_key_is_sent_once(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (client, one, two):
        one.ends = two.ends = True
        reply = await client.post("/threads/x/runs", content=b"x")
        assert reply.status_code == 502
        assert "ask again" in reply.json()["detail"]
        assert reply.headers["retry-after"] == "1"
        assert len(one.asked) + len(two.asked) == 1


async def test_with_no_replica_the_answer_is_one_of_ours(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (client, one, two):
        await one.stop()
        await two.stop()
        reply = await client.get("/threads")
        assert reply.status_code == 503
        assert reply.json() == {"detail": "no replica of the server answers; try again"}
        assert reply.headers["retry-after"] == "1"


async def test_metrics_are_not_for_those_outside(tmp_path: Path) -> None:
    async with proxied(tmp_path) as (client, one, two):
        assert (await client.get("/metrics")).status_code == 404
        assert one.asked + two.asked == []


async def test_the_replicas_hear_where_tls_has_ended(tmp_path: Path) -> None:
    """The links of their answers begin so."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    words = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=proxy -addext".split()
    certificate = tmp_path / "site.pem"
    made = await asyncio.create_subprocess_exec(
        *(openssl, *words, "subjectAltName=IP:127.0.0.1"),
        *("-keyout", certificate, "-out", tmp_path / "certificate.pem"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    with certificate.open("a") as file:
        file.write((tmp_path / "certificate.pem").read_text())
    async with proxied(tmp_path, certificate=certificate) as (client, one, two):
        await client.get("/threads", headers={"X-Forwarded-Proto": "http"})
        (head,) = one.heads + two.heads
    assert head.count("x-forwarded-proto:") == 1
    assert "x-forwarded-proto: https\r\n" in head
    async with proxied(tmp_path) as (client, one, two):
        await client.get("/threads", headers={"X-Forwarded-Proto": "https"})
        assert "x-forwarded-proto: https\r\n" in (one.heads + two.heads)[0], "a proxy before it"


async def test_where_it_listens_may_have_options_such_as_a_certificate() -> None:
    haproxy = topology.program("haproxy")
    if haproxy is None:
        pytest.skip("no haproxy on this machine: apt-get install haproxy")
    process = await asyncio.create_subprocess_exec(
        *(haproxy, "-c", "-f", str(topology.PROXY_CONFIG)),
        env={"PROXY_BIND": "127.0.0.1:1 maxconn 5", "API_1": "127.0.0.1:1", "API_2": "127.0.0.1:2"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 0, said.decode()
