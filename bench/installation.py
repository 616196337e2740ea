"""A Counterpoint as users start it, for the bench: real processes over a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from bench import endpoint
from bench.sse_client import Connection

_READY_SECONDS = 120.0
_STOP_SECONDS = 20.0
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Installation:
    """``pids`` are the processes that count, by what they are; their children count too."""

    name: str
    url: str
    pids: Mapping[str, int]
    redis_url: str


@asynccontextmanager
async def together(
    folder: Path, *, model_url: str, concurrency: int
) -> AsyncIterator[Installation]:
    """`counterpoint up`: API, worker, Redis and document engine, as installed by default."""
    environment = _environment(folder, model_url=model_url, concurrency=concurrency)
    async with _counterpoint("up", environment, folder) as (pid, url):
        await _ingest(url)
        yield Installation(
            name="up: API and worker in one process",
            url=url,
            pids={"up": pid},
            redis_url=f"unix://{folder / 'data' / 'redis' / 'redis.sock'}",
        )


@asynccontextmanager
async def apart(folder: Path, *, model_url: str, concurrency: int) -> AsyncIterator[Installation]:
    """`counterpoint api` and `counterpoint worker` over a Redis as we advise it.

    The API owns the document engine, the worker asks it.
    """
    environment = _environment(folder, model_url=model_url, concurrency=concurrency)
    async with _redis(folder / "redis") as (redis_pid, redis_url):
        environment["COUNTERPOINT_REDIS_URL"] = redis_url
        async with _counterpoint("api", environment, folder, "--keep-documents") as (api, url):
            await _ingest(url)
            others = {
                **environment,
                "COUNTERPOINT_KNOWLEDGE_URL": url,
                "COUNTERPOINT_DATA_DIR": str(folder / "worker"),
            }
            async with _counterpoint("worker", others, folder) as (worker, _):
                yield Installation(
                    name="api and worker apart",
                    url=url,
                    pids={"api": api, "worker": worker, "redis": redis_pid},
                    redis_url=redis_url,
                )


def scripted(model_url: str) -> dict[str, str]:
    """This environment without settings of ours, but for the endpoint's model."""
    clean = {name: value for name, value in os.environ.items() if "COUNTERPOINT" not in name}
    return {
        **clean,
        "COUNTERPOINT_MODEL_URL": model_url,
        "COUNTERPOINT_MODEL": "bench",
        "COUNTERPOINT_MODEL_TOOLS": "native",
        "COUNTERPOINT_MODEL_INPUT_PRICE": "0",
        "COUNTERPOINT_MODEL_OUTPUT_PRICE": "0",
    }


def _environment(folder: Path, *, model_url: str, concurrency: int) -> dict[str, str]:
    config = folder / "counterpoint.toml"
    config.write_text('[graphs]\npausing = "bench.pausing:graph"\n')
    return {
        **scripted(model_url),
        "PYTHONPATH": str(ROOT),
        "COUNTERPOINT_CONFIG": str(config),
        "COUNTERPOINT_DATA_DIR": str(folder / "data"),
        "COUNTERPOINT_CONCURRENCY": str(concurrency),
    }


@asynccontextmanager
async def _counterpoint(
    command: str, environment: Mapping[str, str], folder: Path, *options: str
) -> AsyncIterator[tuple[int, str]]:
    words = [sys.executable, "-m", "server.cli", command, "--json", *options]
    if command != "worker":
        words += ["--port", "0"]
    log = (folder / f"{command}.log").open("wb")
    with log:
        process = await asyncio.create_subprocess_exec(
            *words, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=log
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_READY_SECONDS):
            line = await process.stdout.readline()
        if not line:
            said = (folder / f"{command}.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"`counterpoint {command}` did not start:\n{said}")
        told = json.loads(line)
        yield process.pid, str(told.get("url") or "")
    except Exception as error:
        logs = [folder / f"{command}.log", folder / "data" / "counterpoint.log"]
        words = [log.read_text(errors="replace")[-3000:] for log in logs if log.exists()]
        error.add_note("\n".join([f"`counterpoint {command}` said:", *words]))
        raise
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()


@asynccontextmanager
async def _redis(folder: Path) -> AsyncIterator[tuple[int, str]]:
    from server.redis_server import find_server

    await asyncio.to_thread(folder.mkdir)
    binary = await find_server()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    # As docs/deployment.md and deploy/redis/valkey.conf have it.
    options = {"port": port, "dir": folder, "appendonly": "yes", "appendfsync": "always"}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    process = await asyncio.create_subprocess_exec(
        str(binary.path), *words, "--save", "", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with Redis(port=port) as redis:
            while True:
                with contextlib.suppress(RedisError, OSError):
                    await redis.ping()
                    break
                await asyncio.sleep(0.02)
        yield process.pid, f"redis://127.0.0.1:{port}/0"
    finally:
        process.kill()
        await process.wait()


async def _ingest(url: str) -> None:
    connection = Connection(url)
    document = {"title": "plans.md", "text": endpoint.DOCUMENT}
    await connection.request("POST", "/documents", {"documents": [document]})
    connection.close()
