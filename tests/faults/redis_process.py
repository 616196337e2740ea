"""A redis-server of the test's own on a TCP port, to be killed, stopped, started again."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

from server.redis_server import find_server
from tests.faults.polling import eventually

_START_SECONDS = 20.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class RedisProcess:
    """Append-only file, fsync every second, as the embedded one. Open it with ``async with``."""

    def __init__(
        self, folder: Path, *, durable: bool = True, options: Mapping[str, str] | None = None
    ) -> None:
        self._folder = folder
        self._durable = durable
        self._options = options or {}
        self._process: asyncio.subprocess.Process | None = None
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.kill()

    def client(self) -> Redis:
        """A client without retries, for looking; the caller closes it."""
        return Redis.from_url(
            self.url, socket_timeout=5, socket_connect_timeout=5, retry=Retry(NoBackoff(), 0)
        )

    async def start(self, *, loading: bool = False) -> None:
        """Start and wait until it answers; with ``loading``, return while it still reads its file,
        which then takes a while.
        """
        binary = await find_server()
        options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self._folder),
            "logfile": str(self._folder / "redis.log"),
            "save": "",
            "appendonly": "yes" if self._durable else "no",
            "appendfsync": "everysec",
            "maxmemory-policy": "noeviction",
            **self._options,
            # Microseconds a key, and how often it answers meanwhile.
            **({"key-load-delay": "20000"} if loading else {}),
            **({"loading-process-events-interval-bytes": "1024"} if loading else {}),
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = await asyncio.create_subprocess_exec(
            str(binary.path), *words, stdout=asyncio.subprocess.DEVNULL
        )

        async def answers() -> bool:
            async with self.client() as client:
                try:
                    return bool(await client.ping())
                except BusyLoadingError:
                    return loading
                except (RedisError, OSError):
                    return False

        await eventually(answers, within=_START_SECONDS, what=f"Redis on port {self.port}")

    async def kill(self) -> None:
        """SIGKILL: what was not on disk is lost."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
