"""E2B's virtual machines, as its SDK has them, and what goes wrong with them in words of ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
from e2b.exceptions import (
    AuthenticationException,
    NotFoundException,
    RateLimitException,
    SandboxException,
    SandboxNotRunningException,
    ServiceBusyException,
    TimeoutException,
)
from e2b_code_interpreter import AsyncSandbox
from pydantic import SecretStr

from tools.sandbox.sandbox import MEBIBYTE, SandboxError

TEMPLATE = "code-interpreter-v1"
CLOUD = "e2b.app"
STREAM_BYTES = 32 * MEBIBYTE
"""Most bytes that are read of one cell's answers."""
TROUBLES = (
    AuthenticationException,
    SandboxException,
    ServiceBusyException,
    httpx.HTTPError,
    OSError,
)
"""What the SDK raises when something is wrong."""
_WORDS = 200


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where E2B is and how we may use it. ``domain`` is the cloud's or one's own; the two URLs
    replace what is made of it. ``seconds`` is the patience with one request."""

    key: SecretStr
    domain: str = CLOUD
    template: str = TEMPLATE
    api_url: str | None = None
    sandbox_url: str | None = None
    seconds: float = 30.0


class FloodError(Exception):
    """A cell sent more than is read."""


class _Bounded(httpx.AsyncByteStream):
    """A body of which ``STREAM_BYTES`` are read at most."""

    def __init__(self, inner: httpx.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = STREAM_BYTES
        async for chunk in self._inner:
            left -= len(chunk)
            if left < 0:
                raise FloodError
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _bound(response: httpx.Response) -> None:
    assert isinstance(response.stream, httpx.AsyncByteStream)
    response.stream = _Bounded(response.stream)


class Machine(AsyncSandbox):  # type: ignore[misc]
    """One virtual machine. The SDK keeps all that a cell sends; this one stops at a limit."""

    @property
    def _client(self) -> httpx.AsyncClient:
        client: httpx.AsyncClient = super()._client
        client.event_hooks = {"request": [], "response": [_bound]}
        return client


async def start(access: Access, *, life: float, hosts: tuple[str, ...]) -> Machine:
    """A new machine, which E2B ends after ``life`` seconds unless it is told otherwise. It reaches
    ``hosts`` alone.

    Raises:
        SandboxError: E2B gives none.
    """
    network = {"allow_out": list(hosts), "deny_out": ["0.0.0.0/0"]} if hosts else None
    try:
        machine: Machine = await Machine.create(
            template=access.template,
            timeout=int(life) + 1,
            metadata={"made-by": "counterpoint"},
            allow_internet_access=None if hosts else False,
            network=network,
            api_key=access.key.get_secret_value(),
            domain=access.domain,
            api_url=access.api_url,
            sandbox_url=access.sandbox_url,
            request_timeout=access.seconds,
            retries=2,
        )
        return machine
    except TROUBLES as error:
        raise told(error, access) from None


async def check(access: Access) -> None:
    """Ask E2B for something that costs nothing.

    Raises:
        SandboxError: it cannot be reached, or refuses the key.
    """
    try:
        await Machine.list(
            limit=1,
            api_key=access.key.get_secret_value(),
            domain=access.domain,
            api_url=access.api_url,
            request_timeout=access.seconds,
            retries=0,
        ).next_items()
    except TROUBLES as error:
        raise told(error, access) from None


def is_gone(error: Exception) -> bool:
    """Whether it says for certain that the machine is no more."""
    return isinstance(error, SandboxNotRunningException)


def told(error: Exception, access: Access) -> SandboxError:
    """The same trouble in a line for operators, without the key."""
    where = f"E2B at {access.domain}"
    match error:
        case AuthenticationException():
            return SandboxError(f"{where} refuses the key; correct sandbox.e2b_key or E2B_API_KEY")
        case RateLimitException():
            return SandboxError(f"{where} allows no more at the moment (429); try again later")
        case ServiceBusyException():
            return SandboxError(f"{where} is busy (503); try again later")
        case SandboxNotRunningException():
            return SandboxError(f"the machine of {where} has ended, and its files with it")
        case TimeoutException() | httpx.TimeoutException():
            return SandboxError(f"{where} does not answer in time")
        case NotFoundException():
            return SandboxError(
                f"{where} does not know what it is asked for: {_said(error, access)}"
            )
        case SandboxException():
            return SandboxError(f"{where} answers with an error: {_said(error, access)}")
        case _:
            kind = type(error).__name__
            return SandboxError(f"{where} cannot be reached ({kind}): {_said(error, access)}")


def _said(error: Exception, access: Access) -> str:
    words = " ".join(str(error).split()).replace(access.key.get_secret_value(), "...")
    return words[:_WORDS] or type(error).__name__
