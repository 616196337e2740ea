"""Which hosts code in the sandbox may ask, and what that may cost."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tools.sandbox.sandbox import MEBIBYTE, SandboxError
from tools.web.addresses import Opened

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver

PORT = 3128
"""Where the proxy is, on the guest's loopback."""


def certificates() -> bytes:
    """Whom a guest trusts: those whom this machine trusts, else those of certifi."""
    own = Path("/etc/ssl/certs/ca-certificates.crt")
    if own.is_file():
        return own.read_bytes()
    import certifi

    return Path(certifi.where()).read_bytes()


@dataclass(frozen=True, kw_only=True)
class EgressLimits:
    """What one session may take: ``at_once`` connections, ``connections`` and ``bytes`` (both ways)
    in all; ``seconds`` for one connection, ``connect_seconds`` until it stands."""

    at_once: int = 16
    connections: int = 2_000
    bytes: int = 256 * MEBIBYTE
    seconds: float = 120.0
    connect_seconds: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Egress:
    """Which hosts may be asked, on which ports, and where they may lie beside the internet.

    ``resolver`` stands in for this machine's own lookups.
    """

    patterns: tuple[str, ...]
    ports: frozenset[int] = frozenset({80, 443})
    opened: Opened = field(default_factory=Opened)
    limits: EgressLimits = field(default_factory=EgressLimits)
    certificates: bytes = field(default_factory=certificates, repr=False)
    resolver: Callable[[], AbstractResolver] | None = None


def received(channel: socket.socket) -> socket.socket:
    """The socket that the kernel handed out, which must be one that listens.

    Raises:
        SandboxError: it handed out none, or something else.
    """
    channel.setblocking(False)  # noqa: FBT003 - its name; recv_fds forgets its flags
    try:
        _, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
    except OSError:
        descriptors = []
    if not descriptors:
        raise SandboxError("the kernel opened no way to the hosts")
    listener = socket.socket(fileno=descriptors[0])
    try:
        fit = (
            listener.family == socket.AF_INET
            and listener.type == socket.SOCK_STREAM
            and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        )
    except OSError:
        fit = False
    if not fit:
        listener.close()
        raise SandboxError("the kernel handed out what does not listen")
    return listener
