"""Names looked up for an HTTP client that may only speak to addresses that were judged."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from tools.web.addresses import Opened


class JudgedResolver(AbstractResolver):
    """Gives a name's addresses if all of them are fine, so that the connection goes to one that was
    judged: there is no second lookup that could say something else.

    A client asks nobody about a host that is an address; ``addresses.check`` judges that one.
    """

    def __init__(self, opened: Opened, *, inner: AbstractResolver | None = None) -> None:
        self._opened = opened
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises RefusedError if one address is not fine, OSError where nothing is found."""
        found: Sequence[ResolveResult] = await self._inner.resolve(host, port, family)
        for one in found:
            # A scope (`fe80::1%eth0`) names a network card, not another address.
            self._opened.judge(host, ipaddress.ip_address(one["host"].partition("%")[0]))
        return list(found)

    async def close(self) -> None:
        await self._inner.close()


class ApartResolver(AbstractResolver):
    """The machine's own lookups in threads apart: one that hangs holds up nothing but lookups."""

    def __init__(self, *, threads: int = 4) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises OSError where nothing is found."""
        lookup = partial(
            socket.getaddrinfo,
            host,
            port,
            family=family,
            type=socket.SOCK_STREAM,
            flags=socket.AI_ADDRCONFIG,
        )
        found = await asyncio.get_running_loop().run_in_executor(self._pool, lookup)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=proto,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, proto, _, address in found
        ]

    async def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
