"""Short calls share a line: each gets its own reply, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import trustme
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import DataError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from server import redis_client
from server.redis_client import open_redis

ECHO = "return ARGV[1]"
FAIL = "return redis.error_reply('NO ' .. ARGV[1])"
COUNT = "return redis.call('INCR', KEYS[1])"


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    try:
        yield client
    finally:
        await client.aclose()


async def received(redis: Redis) -> int:
    return int((await redis.info("stats"))["total_connections_received"])


async def test_many_calls_at_once_share_a_connection_and_get_their_own_replies(
    client: Redis, redis: Redis
) -> None:
    echo, fail = client.register_script(ECHO), client.register_script(FAIL)
    await echo(args=["first"])
    before = await received(redis)

    found = await asyncio.gather(
        *(echo(args=[str(n)]) if n % 3 else fail(args=[str(n)]) for n in range(200)),
        return_exceptions=True,
    )

    for number, reply in enumerate(found):
        if number % 3:
            assert reply == str(number).encode()
        else:
            assert isinstance(reply, ResponseError)
            assert str(reply) == f"NO {number}"
    # The script that failed was not known: loading it takes the ordinary way.
    assert await received(redis) - before < 70


async def test_short_calls_and_pipelines_of_them_take_the_line_and_read_as_ever(
    client: Redis, redis: Redis
) -> None:
    await client.hset("short", mapping={"a": "1", "b": "2"})
    before = await received(redis)

    async def pipelined() -> list[Any]:
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.hgetall("short")
            pipeline.ttl("short")
            pipeline.hget("short", "none")
            return await pipeline.execute()

    found = await asyncio.gather(*(client.hgetall("short") for _ in range(50)), pipelined())

    whole = {b"a": b"1", b"b": b"2"}
    assert found == [whole] * 50 + [[whole, -1, None]]
    assert await received(redis) == before
    await redis.delete("short")


async def test_what_redis_refuses_in_a_pipeline_is_raised_or_given_among_the_replies(
    client: Redis,
) -> None:
    await client.zadd("wrong", {"x": 1.0})
    pipeline = client.pipeline(transaction=False)
    pipeline.ttl("wrong")
    pipeline.hgetall("wrong")
    with pytest.raises(ResponseError, match=r"Command # 2 \(HGETALL wrong\) of pipeline"):
        await pipeline.execute()
    assert len(pipeline) == 0
    pipeline.hgetall("wrong")
    pipeline.zrem("wrong", "x")
    refused, removed = await pipeline.execute(raise_on_error=False)
    assert isinstance(refused, ResponseError)
    assert removed == 1


async def test_a_transaction_and_whatever_waits_in_redis_have_connections_of_their_own(
    client: Redis,
) -> None:
    async with client.pipeline() as pipeline:
        pipeline.hset("own", "a", "1")
        pipeline.delete("own")
        assert await pipeline.execute() == [1, 1]
    assert await client.blpop(["nothing"], timeout=0.01) is None
    async with client.client() as one:
        assert await one.hgetall("own") == {}
    assert client._line._open is None  # type: ignore[attr-defined]


async def test_a_pipeline_whose_line_was_cut_is_made_again(client: Redis, redis: Redis) -> None:
    await client.hset("again", "a", "1")
    for _ in range(3):
        await redis.client_kill_filter(_type="normal", skipme=True)
        pipeline = client.pipeline(transaction=False)
        pipeline.hgetall("again")
        pipeline.ttl("again")
        assert await pipeline.execute() == [{b"a": b"1"}, -1]
    await redis.delete("again")


async def test_a_call_that_is_cancelled_leaves_the_replies_of_others_in_their_order(
    client: Redis,
) -> None:
    echo = client.register_script(ECHO)
    await echo(args=["first"])
    calls = [asyncio.ensure_future(echo(args=[str(n)])) for n in range(9)]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()

    assert [await call for call in calls[1::2]] == [b"1", b"3", b"5", b"7"]
    assert await echo(args=["last"]) == b"last"


async def test_a_line_that_was_cut_is_opened_again_and_every_call_answered(
    client: Redis, redis: Redis, keys: object
) -> None:
    count = client.register_script(COUNT)
    assert await count(keys=["cut"]) == 1
    for _ in range(3):
        await redis.client_kill_filter(_type="normal", skipme=True)
        found = await asyncio.gather(*(count(keys=["cut"]) for _ in range(20)))
        assert len(set(found)) == 20
    await redis.delete("cut")


async def test_a_peer_that_says_nothing_is_given_up_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        # It greets, and hears nothing else.
        while line := await reader.readline():
            if line.strip().upper() in {b"CLIENT", b"SELECT"}:
                writer.write(b"+OK\r\n")

    monkeypatch.setattr(redis_client, "RETRIES", 0)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = open_redis(f"redis://127.0.0.1:{port}/0?socket_timeout=0.2")
    try:
        echo = client.register_script(ECHO)
        found = await asyncio.gather(
            *(echo(args=[str(n)]) for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(one, RedisTimeoutError) for one in found)
    finally:
        await client.aclose()
        for writer in taken:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        server.close()
        await server.wait_closed()


async def test_a_large_call_takes_a_way_of_its_own(client: Redis) -> None:
    echo = client.register_script(ECHO)
    large = "x" * (redis_client.LARGE_BYTES + 1)
    assert await echo(args=[large]) == large.encode()
    assert client._line._open is None  # type: ignore[attr-defined]


async def test_closing_tells_who_still_waits(client: Redis) -> None:
    echo = client.register_script(ECHO)
    await echo(args=["first"])
    line = client._line  # type: ignore[attr-defined]
    opened = line._open
    waiting = opened.ask(("EVALSHA", echo.sha, 0, "late"))
    await line.close()
    with pytest.raises(RedisConnectionError):
        await waiting


async def test_what_is_asked_while_or_after_it_closes_opens_no_line_again(client: Redis) -> None:
    line = client._line  # type: ignore[attr-defined]
    # The first call opens the line, and it is closed before that has happened.
    asked = asyncio.ensure_future(client.hget("a", "b"))
    await asyncio.sleep(0)
    await line.close()
    assert await asked is None
    assert await client.hget("a", "b") is None
    assert line._open is None


async def test_what_is_asked_of_a_closed_client_opens_no_connection(redis_url: str) -> None:
    client = open_redis(redis_url)
    await client.get("a")
    pending = [asyncio.ensure_future(client.hget("a", "b")) for _ in range(3)]
    await client.aclose()
    for reply in await asyncio.gather(*pending, return_exceptions=True):
        assert reply is None or isinstance(reply, RedisConnectionError)
    pipeline = client.pipeline(transaction=False)
    pipeline.hget("a", "b")
    for late in (client.get("a"), client.hget("a", "b"), pipeline.execute()):
        with pytest.raises(RedisConnectionError, match="closed"):
            await late
    assert not any(one.is_connected for one in client.connection_pool._available_connections)


@pytest.mark.parametrize("call", ["HGET", "GET"])
async def test_an_opening_that_is_cancelled_at_any_turn_leaves_no_connection_open(
    redis_url: str, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the line that short calls share, and by the pool."""
    lost: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", lost.append)
    cancelled = 0
    for turns in range(60):
        client = open_redis(redis_url)
        words = ("short", "a") if call == "HGET" else ("short",)
        asking = asyncio.create_task(cast("Any", client).execute_command(call, *words))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with contextlib.suppress(ResponseError, asyncio.CancelledError):
            await asking
        cancelled += asking.cancelled()
        await client.aclose()
        del client, asking
    # One before it began says nothing; how many turns the rest takes is the machine's affair.
    assert cancelled > 2
    await asyncio.sleep(0)
    gc.collect()
    assert lost == []


async def test_what_redis_cannot_be_told_is_refused_and_the_others_are_answered(
    client: Redis,
) -> None:
    echo = client.register_script(ECHO)
    await echo(args=["first"])
    wrong: Any = True
    found = await asyncio.gather(
        echo(args=["before"]),
        echo(args=[wrong]),
        echo(args=[memoryview(b"bytes")]),
        echo(args=["behind"]),
        return_exceptions=True,
    )
    assert isinstance(found[1], DataError)
    assert [found[0], *found[2:]] == [b"before", b"bytes", b"behind"]


async def test_more_than_the_socket_takes_waits_for_it_and_keeps_its_order(client: Redis) -> None:
    echo = client.register_script(ECHO)
    await echo(args=["first"])
    texts = [f"{number} " + "x" * 100_000 for number in range(200)]
    found = await asyncio.gather(*(echo(args=[text]) for text in texts))
    assert [reply.decode() for reply in found] == texts


async def test_a_line_that_redis_closes_or_breaks_tells_all_that_wait(redis_url: str) -> None:
    said: list[bytes] = [b"", b"$-7\r\n", b"-LOADING Redis is loading the dataset in memory\r\n"]

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"EVALSHA" not in (heard := await reader.read(1000)):
            if not heard:
                break
            writer.write(b"+OK\r\n" * heard.count(b"*"))
        else:
            writer.write(said[0])
            await asyncio.sleep(0)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        while said:
            silent = open_redis(f"redis://127.0.0.1:{port}")
            line = silent._line  # type: ignore[attr-defined]
            async with asyncio.timeout(30):
                found = await asyncio.gather(
                    *(line.call("EVALSHA", "0", 0, n) for n in range(3)), return_exceptions=True
                )
            assert [type(one) for one in found] == [RedisConnectionError] * 3
            await silent.aclose()
            said.pop(0)


async def test_the_line_goes_over_tls_as_well(redis_url: str, tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    behind = redis_url.removeprefix("unix://").partition("?")[0]

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while heard := await reader.read(65_536):
                writer.write(heard)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there = await asyncio.open_unix_connection(behind)
        await asyncio.gather(pump(reader, there), pump(there_reader, writer))
        await there.wait_closed()
        over.set()

    over = asyncio.Event()
    server = await asyncio.start_server(forward, "localhost", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        client = open_redis(f"rediss://localhost:{port}?ssl_ca_certs={tmp_path / 'ca.pem'}")
        echo = client.register_script(ECHO)
        await echo(args=["first"])
        texts = [f"{number} " + "x" * 50_000 for number in range(60)]
        found = await asyncio.gather(*(echo(args=[text]) for text in texts))
        assert [reply.decode() for reply in found] == texts
        assert client._line._open.lost is None  # type: ignore[attr-defined]
        await client.aclose()
        await over.wait()
