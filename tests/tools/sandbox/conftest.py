"""The real sandbox, for every test that attacks it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from tools.sandbox.find import Unavailable, open_sandbox
from tools.sandbox.sandbox import Limits, Sandbox


def required(sandbox: Sandbox | Unavailable) -> Sandbox:
    """The sandbox; where there is none, skip by hand and fail in continuous integration."""
    if isinstance(sandbox, Unavailable):
        reason = f"{sandbox.reason}: {sandbox.remedy}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return sandbox


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    # So long that no load of the machine makes it matter.
    opened = required(await open_sandbox(limits=Limits(seconds=60.0)))
    yield opened
    await opened.close()
