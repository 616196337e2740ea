"""The real sandbox, for every test that attacks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tools.sandbox.find import Unavailable, open_sandbox
from tools.sandbox.sandbox import Limits, Sandbox


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the server runs on."""
    return {"uvloop": uvloop.new_event_loop}


def required(sandbox: Sandbox | Unavailable) -> Sandbox:
    """The sandbox; where there is none, skip by hand and fail in continuous integration."""
    if isinstance(sandbox, Unavailable):
        reason = f"{sandbox.reason}: {sandbox.remedy}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return sandbox


@contextlib.asynccontextmanager
async def of_kind(kind: str, *, limits: Limits | None = None) -> AsyncIterator[Sandbox]:
    """One that really runs code: here, or behind a double of E2B's service."""
    if kind == "bubblewrap":
        local = required(await open_sandbox(limits=limits))
        yield local
        await local.close()
        return
    pytest.importorskip("e2b_code_interpreter", reason="the extra e2b is not installed")
    from tests.tools.sandbox.e2b_double import behind
    from tools.sandbox.e2b_sandbox import E2BSandbox

    async with behind() as double:
        sandbox = E2BSandbox(double.access(), limits=limits or Limits())
        yield sandbox
        await sandbox.close()


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    # So long that no load of the machine makes it matter.
    opened = required(await open_sandbox(limits=Limits(seconds=60.0)))
    yield opened
    await opened.close()
