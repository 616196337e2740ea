"""Takes the pictures of docs/slack.md anew: ``python -m tests.server.slack.pictures``.

They look best with Slack's own typeface: ``apt-get install fonts-lato fonts-noto-color-emoji``.
"""

from __future__ import annotations

import asyncio
import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import async_playwright

from graphs.keys import Keys
from server.redis_client import open_redis
from server.redis_server import RedisServer
from server.runs.queue import RunQueue
from tests.console.conftest import FLAGS, chromium
from tests.server.approvals.desk import desk_of
from tests.server.slack import drawing, exchange, scenes
from tests.server.slack.double import slack_double
from tests.server.slack.exchange import Exchange
from tests.server.slack.messages import Message
from tests.server.slack.office import Office, settings_of

IMAGES = Path(__file__).parent.parent.parent.parent / "docs" / "images"


def pages(found: Exchange) -> Mapping[str, str]:
    """The pages of an exchange, by the names of their pictures."""
    wrong = {**_labelled(found.dialog, exchange.WRONG)}
    return {
        "slack-approval": drawing.page(_asked(), *_thread(found.paused)),
        "slack-edit": drawing.page(
            drawing.modal(found.dialog, typed=wrong, errors=found.refused["errors"])
        ),
        "slack-answer": drawing.page(_asked(), *_thread(found.answered)),
        "slack-home": drawing.page(drawing.home(scenes.VIEWS["home"])),
        "slack-cards": drawing.page(
            *(
                drawing.message(scenes.MESSAGES[name]["blocks"], who="Counterpoint", at="10:04")
                for name in ("card-critical", "card-rejected", "card-expired")
            )
        ),
    }


def _asked() -> str:
    return drawing.message(
        [], who="ann", at="10:00", text=f"@Counterpoint {exchange.QUESTION}", is_app=False
    )


def _thread(messages: Sequence[Message]) -> list[str]:
    return [
        drawing.message(
            one.blocks,
            who="Counterpoint",
            at=f"10:0{at + 1}",
            text="" if any(block["type"] == "markdown" for block in one.blocks) else _said(one),
            steps=_steps(one),
        )
        for at, one in enumerate(messages)
    ]


def _said(one: Message) -> str:
    """A stream's text; that of a message with blocks is for notifications."""
    return one.text if one.chunks or not one.blocks else ""


def _steps(one: Message) -> list[str]:
    found = {chunk["id"]: chunk["title"] for chunk in one.chunks if chunk["type"] == "task_update"}
    return list(found.values())


def _labelled(view: Mapping[str, Any], typed: Mapping[str, str]) -> dict[str, str]:
    return {
        block["block_id"]: typed[name]
        for block in view["blocks"]
        if block["type"] == "input" and (name := block["label"]["text"].removesuffix(" *")) in typed
    }


async def main() -> None:
    """Against servers of their own, which are gone afterwards."""
    folder = Path(tempfile.mkdtemp())
    server = RedisServer(folder)
    await server.start()
    try:
        redis, keys = open_redis(server.url), Keys()
        async with RunQueue(server.url, keys) as queue, slack_double() as slack:
            office = Office(
                desk=desk_of(redis, keys, queue), slack=slack, settings=settings_of(slack)
            )
            found = await exchange.played(office)
        await redis.aclose()
        await taken(pages(found))
    finally:
        await server.close()
        shutil.rmtree(folder)


async def taken(drawn: Mapping[str, str]) -> None:
    """One picture a page."""
    async with async_playwright() as playwright:
        # Playwright gives each browser a new profile of its own.
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        at = await browser.new_page(viewport={"width": 720, "height": 400}, device_scale_factor=1.5)
        for name, html in drawn.items():
            await at.set_content(html)
            image = Image.open(io.BytesIO(await at.screenshot(full_page=True)))
            # A palette is enough for a page, and a third of the size.
            image.quantize(256, dither=Image.Dither.NONE).save(
                IMAGES / f"{name}.png", optimize=True
            )
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
