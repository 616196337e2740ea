"""The HTTP server around the app: a port taken before anything slow, and an end in seconds."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import uvicorn

# Streams of runs that are not over are cut off then; their readers come back with their last id.
GRACE_SECONDS = 2
_BACKLOG = 2048
# Over a WebSocket; as large as the body of a request.
_LARGEST_MESSAGE = 8_000_000


class ListenError(Exception):
    """The address cannot be listened on; the message names it and the remedy."""


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """The port, ours from now on; callers wait in the queue. Raises ListenError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(
            f"host: {host} is no address of this machine ({error.strerror or error}); "
            "try --host 127.0.0.1"
        ) from error
    with sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            # Two sockets may be bound to one port until one of them listens.
            sock.listen(_BACKLOG)
        except OSError as error:
            raise ListenError(_why(error, host=host, port=port)) from error
        yield sock


def _why(error: OSError, *, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            other = port + 1 if port < 65535 else 8001
            return (
                f"port {port} on {host} is in use; choose another with --port {other} or "
                f"COUNTERPOINT_PORT={other}, or stop what listens there"
            )
        case errno.EACCES:
            return f"port {port} is reserved for root; choose one above 1023, such as --port 8000"
        case errno.EADDRNOTAVAIL:
            return f"host: {host} is no address of this machine; try --host 127.0.0.1"
        case _:
            return f"cannot listen on {host}:{port} ({error.strerror}); choose another --port"


def url_of(sock: socket.socket) -> str:
    """Where the socket is reached from this machine."""
    host, port = sock.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - a comparison
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: signals are the command's."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.up.set()


@asynccontextmanager
async def serving(
    app: Any, *, sock: socket.socket | None = None, path: Path | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """Serve the app on a socket that listens, or on a unix socket at ``path``.

    Gives the server's task, which ends by itself only if the server fails.
    """
    server = _Server(
        uvicorn.Config(
            app,
            uds=str(path) if path is not None else None,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws_max_size=_LARGEST_MESSAGE,
            timeout_graceful_shutdown=GRACE_SECONDS,
            backlog=_BACKLOG,
        )
    )
    sockets = [sock] if sock is not None else None
    task = asyncio.create_task(server.serve(sockets=sockets), name="http server")
    up = asyncio.create_task(server.up.wait(), name="http server up")
    try:
        await asyncio.wait({task, up}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield task
    finally:
        up.cancel()
        server.should_exit = True
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            # Somebody is in a hurry.
            server.force_exit = True
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            raise
