"""Takes the pictures of docs/console.md anew: ``python -m tests.console.screenshots``."""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import Browser, async_playwright

from graphs.keys import Keys
from server.redis_client import open_redis
from server.redis_server import RedisServer
from server.runs.queue import RunQueue
from tests.console import requests as ask
from tests.console.conftest import FLAGS, chromium
from tests.console.office import Office
from tests.console.screen import Screen, screen
from tests.server.approvals.desk import desk_of

IMAGES = Path(__file__).parent.parent.parent / "docs" / "images"
DESKTOP: dict[str, Any] = {"viewport": {"width": 1360, "height": 860}}
SHOWN = {
    "queue-light",
    "queue-dark",
    "edit-light",
    "critical-dark",
    "undo-light",
    "history-dark",
    "phone-queue-light",
    "phone-request-dark",
}
"""What docs/console.md shows."""
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
}


async def taken(browser: Browser, office: Office, scheme: str) -> None:
    """All pictures in one colour scheme."""
    waiting = [await office.ask(one) for one in ask.DAY]
    async with screen(browser, office, **DESKTOP, color_scheme=scheme) as at:
        await at.sign_in()
        await at.looks_at("refund")
        await _keep(at, f"queue-{scheme}")
        await at.press("e")
        await at.page.get_by_role("textbox", name="amount").fill("180.50")
        await at.reads("180.5")
        await _keep(at, f"edit-{scheme}")
        await at.press("Control+Enter", "s")
        await at.reads("Approved with edits: refund.")
        await at.open("delete_records")
        await at.press("a")
        await _keep(at, f"critical-{scheme}")
        await at.press("n")
        await at.open("post_message")
        await at.press("r")
        await at.write("Not in a public channel: the file is not what its name says.")
        await _keep(at, f"reject-{scheme}")
        await at.press("Enter")
        await at.open("pay_invoice")
        await office.elsewhere(waiting[4], "approve")
        await at.reads("ana approved it")
        await _keep(at, f"undo-{scheme}")
        await at.press("s")
        await at.reads("Rejected post_message.")
        await office.expire(waiting[7])
        await at.press("h")
        await at.open("refund")
        await at.reads("Decided")
        await at.page.locator(".stack").evaluate("stack => stack.remove()")
        await _keep(at, f"history-{scheme}")
    async with screen(browser, office, **PHONE, color_scheme=scheme) as at:
        await at.sign_in()
        await at.waiting(6)
        await _keep(at, f"phone-queue-{scheme}")
        await at.row("send_email").locator(".open").tap()
        await at.looks_at("send_email")
        await _keep(at, f"phone-request-{scheme}")


async def main() -> None:
    """Against servers of their own, which are gone afterwards."""
    folder = Path(tempfile.mkdtemp())
    server = RedisServer(folder)
    await server.start()
    try:
        redis = open_redis(server.url)
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
            for scheme in ("light", "dark"):
                keys = Keys(prefix=f"{scheme}:")
                async with RunQueue(server.url, keys) as queue:
                    office = await Office(desk=desk_of(redis, keys, queue), folder=folder).open()
                    await taken(browser, office, scheme)
                    await office.close()
            await browser.close()
        await redis.aclose()
    finally:
        await server.close()
        shutil.rmtree(folder)


async def _keep(at: Screen, name: str) -> None:
    if name not in SHOWN:
        return
    IMAGES.mkdir(parents=True, exist_ok=True)
    image = Image.open(io.BytesIO(await at.page.screenshot()))
    # A palette is enough for a page, and a third of the size.
    image.quantize(256, dither=Image.Dither.NONE).save(IMAGES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    asyncio.run(main())
