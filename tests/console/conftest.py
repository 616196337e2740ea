"""A browser in front of the real page, app and queue."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, async_playwright
from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.queue import RunQueue
from tests.console.office import Office
from tests.server.approvals.desk import desk_of

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


def chromium() -> str:
    """Where Debian's browser is; without it the test is skipped, or fails where CI is set."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is not None:
        return found
    words = "no chromium on the PATH: scripts/debian-packages installs it"
    if os.environ.get("CI"):
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Chromium, with a profile that is thrown away."""
    program = chromium()
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield running
        await running.close()


@pytest.fixture
async def office(redis: Redis, redis_url: str, keys: Keys, tmp_path: Path) -> AsyncIterator[Office]:
    """The app over the queue; it asks for a key."""
    async with RunQueue(redis_url, keys) as queue:
        office = await Office(desk=desk_of(redis, keys, queue), folder=tmp_path).open()
        yield office
        await office.close()
