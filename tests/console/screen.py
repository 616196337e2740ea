"""The page as a person uses it: by what is read on it and by keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Dialog, Locator, Page, expect

from tests.console.office import KEYS, Office

AXE = Path(__file__).parent / "vendor" / "axe-core" / "axe.min.js"
GRAVE = {"serious", "critical"}
BOUND_MS = 40_000
# The checker adds styles of its own, which the page's policy refuses.
OWN_NOISE = "Applying inline style"


@dataclass(kw_only=True)
class Screen:
    """One open page. ``problems``: whatever the browser complained of."""

    page: Page
    problems: list[str] = field(default_factory=list)

    async def sign_in(self, who: str = "nora") -> None:
        await self.page.get_by_label("API key of an operator").fill(KEYS[who])
        await self.page.get_by_role("button", name="Sign in").click()

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.page.keyboard.press(key)

    async def write(self, text: str) -> None:
        await self.page.keyboard.type(text)

    async def reads(self, text: str) -> None:
        """Wait until this is to be seen."""
        await expect(self.page.get_by_text(text).locator("visible=true").first).to_be_visible()

    async def looks_at(self, tool: str) -> None:
        await expect(self.page.locator("#headline")).to_contain_text(tool)

    async def open(self, tool: str) -> None:
        """Look at the request of a tool."""
        await self.row(tool).locator(".open").click()
        await self.looks_at(tool)

    def row(self, tool: str) -> Locator:
        return self.page.locator(".row").filter(
            has=self.page.locator(".tool").get_by_text(tool, exact=True)
        )

    async def waiting(self, number: int) -> None:
        """Wait until so many requests are in the list."""
        await expect(self.page.locator(".row")).to_have_count(number)

    async def says(self, text: str) -> None:
        """Wait until this is told to those who listen."""
        heard = self.page.locator("[aria-live]").filter(has_text=text)
        await expect(heard).to_have_count(1)

    async def link(self, state: str) -> None:
        await expect(self.page.locator(".link-state")).to_have_text(state)

    async def accessible(self) -> None:
        """Nothing serious keeps anybody out."""
        found = await violations(self.page)
        assert [one for one in found if one["impact"] in GRAVE] == []


async def violations(page: Page) -> list[dict[str, Any]]:
    """What axe finds: rule, impact, and where."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE.read_text("utf-8"))
    found = await page.evaluate(
        "axe.run(document, {preload: false, resultTypes: ['violations']})"
        ".then(found => found.violations.map(({id, impact, nodes}) =>"
        " ({id, impact, nodes: nodes.map(({html}) => html.slice(0, 200))})))"
    )
    return list(found)


@asynccontextmanager
async def screen(
    browser: Browser, office: Office, *, path: str = "/console/approvals", **given: Any
) -> AsyncIterator[Screen]:
    """A page of its own profile; whatever it complains of fails the test."""
    wanted = {"viewport": {"width": 1360, "height": 860}, "reduced_motion": "reduce", **given}
    context = await browser.new_context(**wanted)
    context.set_default_timeout(BOUND_MS)
    expect.set_options(timeout=BOUND_MS)
    page = await context.new_page()
    shown = Screen(page=page)
    page.on("pageerror", lambda error: shown.problems.append(str(error)))
    page.on(
        "console",
        lambda told: (
            shown.problems.append(told.text)
            if told.type == "error"
            and "Security Policy" in told.text
            and not told.text.startswith(OWN_NOISE)
            else None
        ),
    )

    async def agree(dialog: Dialog) -> None:
        await dialog.accept()

    page.on("dialog", agree)
    await page.goto(office.url + path)
    yield shown
    assert shown.problems == []
    await context.close()
