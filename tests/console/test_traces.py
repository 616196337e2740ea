"""The page of a run's trace: by what is read on it, by keys, on a phone."""

from __future__ import annotations

import asyncio
import io
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.async_api import Browser, expect

from graphs import events
from server.artifacts.store import Origin
from server.runs.record import RunRecord
from tests.console.office import Office
from tests.console.screen import screen

pytestmark = pytest.mark.browser
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "dark",
}
BY: dict[str, Any] = {"agent": "researcher", "task_id": "1"}
CALL: dict[str, Any] = {**BY, "call_id": "c1", "tool": "search_documents"}
STAGES = [events.Stage(name=name, ms=60.0, candidates=9) for name in ("embedding", "lookup")]


async def told(office: Office) -> RunRecord:
    """A run with a plan, a search, an attempt that failed, and one that did not."""
    record = await office.desk.running(str(uuid.uuid4()))
    begin = time.time() + 0.3
    office.tracing._tools = frozenset({"search_documents"})
    heard: list[tuple[float, Any]] = [
        (0.0, events.RunStarted(run_id=record.run_id, thread_id=record.thread_id)),
        (1.4, model("coordinator", step=1, seconds=1.3, task_id="")),
        (1.5, events.AgentStarted(**BY, instruction="i")),
        (1.6, events.ToolStarted(**CALL, args={})),
        (1.9, events.RetrievalQuery(**BY, query="q", hits=5, call_id="c1", stages=STAGES)),
        (2.0, events.ToolFinished(**CALL, ok=True, summary="s", seconds=0.4)),
        (4.0, model("researcher", step=2, seconds=2.0, ok=False, error="ModelTimeout")),
        (6.5, model("researcher", step=2, seconds=2.2, attempt=2)),
        (6.6, events.AgentFinished(**BY, summary="s", seconds=5.1)),
        (8.0, model("critic", step=3, seconds=1.3, task_id="")),
        (8.1, events.Verdict(supported=True)),
        (8.2, events.RunFinished(answer="a", stop_reason="answered", usage=events.Usage())),
    ]
    for after, event in heard:
        office.tracing.hear(record, event, at=begin + after)
    return record


def model(agent: str, *, task_id: str = "1", **more: Any) -> events.ModelCalled:
    given = {"model": "qwen", "input_tokens": 500, "output_tokens": 40, "cost": 0.001}
    return events.ModelCalled(**{**given, "agent": agent, "task_id": task_id, **more})


async def test_a_runs_waterfall_is_read_with_keys(browser: Browser, office: Office) -> None:
    record = await told(office)
    async with screen(browser, office, path=f"/console/traces/{record.run_id}") as at:
        await at.page.get_by_label("API key").fill("nora-key-nora-key-nora-key")
        await at.page.get_by_role("button", name="Sign in").click()
        rows = at.page.locator("tr[data-id]")
        await expect(rows.filter(has_text="execute_tool search_documents")).to_have_count(1)
        await expect(rows.filter(has_text="chat qwen")).to_have_count(4)
        await at.reads("2000, 160")
        shown = await rows.count()
        await rows.first.focus()
        await at.press("ArrowDown", "ArrowLeft")
        await expect(rows).to_have_count(2)
        await at.press("ArrowRight")
        await expect(rows).to_have_count(shown)
        await rows.filter(has_text="chat qwen").nth(1).click()
        details = at.page.get_by_role("region", name="The chosen span")
        await expect(details).to_contain_text("ModelTimeout")
        await expect(details).to_contain_text("gen_ai.usage.input_tokens")
        await at.accessible()


def drawn() -> bytes:
    """A chart, as code makes one."""
    made = io.BytesIO()
    image = Image.new("RGB", (640, 320), "#fff")
    for number, height in enumerate((80, 150, 220, 290)):
        left = 60 + number * 140
        image.paste("#2f6f6f", (left, 320 - height, left + 90, 320))
    image.save(made, "PNG")
    return made.getvalue()


async def made(office: Office, record: RunRecord) -> None:
    """A run's files: a chart, a table, a page with a script, and a drawing that could hold one."""
    where: dict[str, Any] = {"tenant": record.tenant, "thread_id": record.thread_id}
    content = {
        "by_region.png": (drawn(), "image/png"),
        "totals.csv": (b"region,total\nNorth,12\n", "text/csv"),
        "report.html": (b"<script>alert(1)</script>", "text/html"),
        "drawing.svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
    }
    for name, (body, kind) in content.items():
        given: dict[str, Any] = {**where, "run_id": record.run_id, "origin": Origin.RUN}
        await office.files.put(body, name=name, media_type=kind, **given)
    other: dict[str, Any] = {**where, "run_id": None, "origin": Origin.UPLOAD}
    await office.files.put(b"a,b\n", name="given.csv", media_type="text/csv", **other)


async def test_what_a_run_made_is_shown_by_name_and_size_images_at_once_and_saved_with_the_key(
    browser: Browser, office: Office
) -> None:
    record = await told(office)
    await made(office, record)
    async with screen(browser, office, path=f"/console/traces/{record.run_id}") as at:
        await at.page.get_by_label("API key").fill("nora-key-nora-key-nora-key")
        await at.page.get_by_role("button", name="Sign in").click()
        files = at.page.get_by_role("region", name="Files")
        await expect(files.get_by_role("listitem")).to_have_count(4)
        await expect(files).to_contain_text("text/csv, 22 bytes")
        await expect(files).not_to_contain_text("given.csv")
        image = files.get_by_role("img")
        await expect(image).to_have_count(1)
        await expect(image).to_have_js_property("naturalWidth", 640)
        for name, content in (("totals.csv", b"region"), ("report.html", b"<script>")):
            async with at.page.expect_download() as saved:
                await files.get_by_role("link", name=name).click()
            download = await saved.value
            assert download.suggested_filename == name
            assert (await asyncio.to_thread(Path(await download.path()).read_bytes))[:8].startswith(
                content[:6]
            )
        await at.accessible()


async def test_a_trace_fits_a_phone_in_the_dark_and_what_is_not_kept_is_said(
    browser: Browser, office: Office
) -> None:
    office.keyed = False
    await office.close()
    await office.open()
    record = await told(office)
    async with screen(browser, office, path=f"/console/traces#{record.run_id}", **PHONE) as at:
        await at.reads("invoke_agent researcher")
        wide = await at.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 360
        await at.accessible()
        await at.page.get_by_label("Run", exact=True).fill("8b3f7c3e-6c1b-4b9f-9a55-0c8f4a7b2d10")
        await at.page.get_by_role("button", name="Show").click()
        await at.reads("no run 8b3f7c3e")
