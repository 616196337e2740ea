"""What the approvals page keeps to, apart from an ordinary day."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from server.approvals.record import ApprovalStatus as Status
from tests.console import requests as ask
from tests.console.office import KEYS, Office
from tests.console.screen import screen

pytestmark = pytest.mark.browser
PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "is_mobile": True,
    "has_touch": True,
    "color_scheme": "dark",
}


async def test_what_documents_and_people_wrote_is_text_on_the_page(
    browser: Browser, office: Office
) -> None:
    """Markup is shown as it was written, and what would turn text around is shown by its number."""
    hostile = '<img src=x onerror="document.title=1">'
    asked = replace(ask.SEND_TRICK, reason=hostile, question=hostile, who=hostile, rule=hostile)
    one = await office.ask(replace(asked, args={**asked.args, hostile: [hostile, {"a": hostile}]}))
    async with screen(browser, office) as at:
        await at.sign_in()
        await at.looks_at("post_message")
        await at.reads("U+202E")
        await office.elsewhere(one, "reject", message=hostile)
        await at.reads("ana rejected it")
        assert await at.page.locator("#app img[src=x], #app script").count() == 0
        assert "Approvals" in await at.page.title()
        assert await at.page.locator(".pane").get_by_text(hostile).count() >= 6


async def test_a_page_that_is_loaded_again_has_not_sent_what_was_held_and_says_so(
    browser: Browser, office: Office
) -> None:
    one = await office.ask(ask.MAIL_KELLER)
    async with screen(browser, office) as at:
        await at.sign_in()
        await at.looks_at("send_email")
        await at.press("r")
        await at.write("Name the day")
        await at.press("Enter")
        await at.reads("Rejecting")
        await at.page.reload()
        await at.reads("Not sent, because the page was loaded again: reject send_email.")
        assert (await office.now(one)).status is Status.PENDING
        # What was written is still there.
        await at.looks_at("send_email")
        await at.page.get_by_role("button", name="Look at it").click()
        await expect(at.page.get_by_label("Reason")).to_have_value("Name the day")
        await at.press("Enter", "s")
        await at.reads("Rejected send_email.")
    assert (await office.now(one)).message == "Name the day"


async def test_a_refusal_is_told_in_words(browser: Browser, office: Office) -> None:
    """Arguments that changed meanwhile are looked at again before anybody decides."""
    one = await office.ask(replace(ask.PAY_TWO, schema=None))
    other = await office.ask(replace(ask.REFUND_KELLER, who="nora", seconds=40_000.0))
    async with screen(browser, office) as at:
        await at.sign_in()
        await at.looks_at("pay_invoice")
        await at.press("e")
        await at.page.get_by_role("textbox", name="amount").fill("18000")
        await office.elsewhere(one, "edit", args={**ask.PAY_TWO.args, "amount": 17_000.0})
        await at.reads("ana edited the arguments of pay_invoice. Look again.")
        await at.press("Control+Enter", "s")
        await at.reads("The arguments changed while you looked (ana edited them).")
        await at.page.get_by_role("button", name="Dismiss").first.click()
        # Who asked does not decide.
        await at.open("refund")
        await expect(at.page.locator(".act.approve")).to_be_disabled()
        await at.press("a")
        await at.reads("You asked for this yourself: somebody else has to approve it.")
    assert (await office.now(one)).consents == 1
    assert (await office.now(other)).status is Status.PENDING


async def test_the_key_is_nowhere_but_in_the_tab(browser: Browser, office: Office) -> None:
    await office.ask(ask.FETCH)
    async with screen(browser, office) as at:
        asked: list[str] = []
        at.page.on("request", lambda request: asked.append(request.url))
        await at.page.get_by_label("API key of an operator").fill("wrong")
        await at.press("Enter")
        await at.reads("This key is not known here.")
        await at.sign_in()
        await at.looks_at("fetch_page")
        kept = await at.page.evaluate("JSON.stringify([{...localStorage}, document.cookie])")
        assert KEYS["nora"] not in kept
        assert not any(KEYS["nora"] in url for url in asked)
        assert all(url.startswith(office.url) for url in asked)


async def test_a_phone_in_the_dark(browser: Browser, office: Office) -> None:
    """360 pixels: one column, nothing beyond the edge, and on to the next after a decision."""
    for one in ask.DAY[:3]:
        await office.ask(one)
    async with screen(browser, office, **PHONE) as at:
        await at.sign_in()
        await at.waiting(3)
        await at.accessible()
        await at.row("refund").locator(".open").tap()
        await at.looks_at("refund")
        await at.accessible()
        await at.page.get_by_role("button", name="Edit").tap()
        await at.accessible()
        await at.page.get_by_role("button", name="Cancel").tap()
        await at.page.get_by_role("button", name="Approve").tap()
        await at.looks_at("send_email")
        await expect(at.page.locator("#headline")).to_be_focused()
        await at.page.get_by_role("button", name="Send now").tap()
        await at.reads("Approved refund.")
        wide = await at.page.evaluate("document.documentElement.scrollWidth")
        assert wide == 360


async def test_many_are_decided_in_one_request_and_taken_back_together(
    browser: Browser, office: Office
) -> None:
    many = [await office.ask(one) for one in (ask.MAIL_KELLER, ask.TICKET_LEGAL, ask.RENAME)]
    async with screen(browser, office) as at:
        sent: list[str] = []
        at.page.on("request", lambda one: sent.append(one.url) if one.method == "POST" else None)
        await at.sign_in()
        await at.waiting(3)
        await at.looks_at("send_email")
        await at.press("x", "j", "x", "j", "x", "a")
        await at.reads("Approve 3 requests")
        await at.press("y", "u")
        await at.says("Taken back: 3 decisions")
        await expect(at.page.locator(".held")).to_have_count(0)
        await at.open("send_email")
        await at.press("x", "j", "x", "r")
        await at.write("Not this week")
        await at.press("Enter", "s")
        await at.reads("Rejected open_ticket.")
        await at.waiting(1)
        assert sent == [f"{office.url}/approvals/decisions"]
    found = [await office.now(one) for one in many]
    assert [one.status for one in found] == [Status.REJECTED, Status.REJECTED, Status.PENDING]
    assert {one.message for one in found[:2]} == {"Not this week"}


async def test_an_address_names_a_request_whether_it_waits_or_is_over(
    browser: Browser, office: Office
) -> None:
    first, second = [await office.ask(one) for one in (ask.MAIL_KELLER, ask.RENAME)]
    async with screen(browser, office, path=f"/console/approvals#{second.approval_id}") as at:
        await at.sign_in()
        await at.looks_at("write_file")
        await at.press("k")
        await at.looks_at("send_email")
        assert at.page.url.endswith(f"#{first.approval_id}")
        await office.elsewhere(first, "approve")
        await at.reads("ana approved it")
        await at.page.reload()
        await at.looks_at("send_email")
        await at.reads("Audit log")


async def test_the_landing_leads_to_the_approvals(browser: Browser, office: Office) -> None:
    async with screen(browser, office, path="/console") as at:
        await at.accessible()
        await at.page.get_by_role("link", name="Approvals").click()
        await at.reads("This server asks for a key")


async def test_letters_can_be_turned_off_and_a_key_that_stays_down_decides_once(
    browser: Browser, office: Office
) -> None:
    for one in (ask.RENAME, ask.FETCH):
        await office.ask(one)
    async with screen(browser, office) as at:
        await at.sign_in()
        await at.looks_at("write_file")
        await at.page.keyboard.down("a")
        await at.page.keyboard.down("a")
        await at.page.keyboard.up("a")
        await at.looks_at("fetch_page")
        await expect(at.page.locator(".held")).to_have_count(1)
        await at.press("u", "?")
        await at.accessible()
        await at.page.get_by_label("Single letters are shortcuts").uncheck()
        await at.press("Escape", "a")
        await expect(at.page.locator(".held")).to_have_count(0)


FORMS = """
async () => {
  const { parse, stringify, number, written } = await import("/console/static/js/exact.js");
  const { problems } = await import("/console/static/js/schema.js");
  const { changes, words } = await import("/console/static/js/diff.js");
  const { Frames } = await import("/console/static/js/api.js");
  const list = (value, schema) => [...problems(value, schema)].map((one) => one.join(": "));
  const schema = {
    $defs: { Day: { type: "string", format: "date" } },
    type: "object",
    properties: {
      day: { $ref: "#/$defs/Day" },
      size: { type: "integer", exclusiveMinimum: 0, multipleOf: 5 },
      note: { anyOf: [{ type: "string", maxLength: 3 }, { type: "null" }] },
      tags: { type: "array", items: { enum: ["a", "b"] }, uniqueItems: true },
    },
    required: ["day", "size"],
    additionalProperties: false,
  };
  const frames = new Frames();
  const stream = "id: 7\\nevent: x\\ndata: {\\"a\\":\\ndata: 1}\\n\\n: beat\\n\\n";
  const told = [...stream].flatMap((one) => [...frames.feed(one)]);
  return {
    exact: stringify(parse('{"id":12345678901234567890,"at":0.1,"sum":1.50,"n":-3}')),
    number: ["12", "1.", "0x1", "9007199254740993", "1e999", ""].map((one) => {
      const found = number(one);
      return found === undefined ? null : written(found);
    }),
    fine: list({ day: "2026-02-28", size: 10, note: null, tags: ["a"] }, schema),
    wrong: list({ day: "soon", size: 3, note: "long", tags: ["a", "c"], more: 1 }, schema),
    missing: list({ size: 1.5 }, schema),
    changes: changes({ a: 1, b: [1, { c: 2 }], d: 0 }, { a: 1, b: [1, { c: 3 }], e: 0 }).map(
      ({ path, how }) => `${how} ${path.join("/")}`,
    ),
    words: words("pay 240 euros back", "pay 180 euros back").map(
      ({ how, text }) => `${how}:${text}`,
    ),
    told,
  };
}
"""


async def test_numbers_schemas_differences_and_streams_are_read_as_they_are_written(
    browser: Browser, office: Office
) -> None:
    async with screen(browser, office) as at:
        found = await at.page.evaluate(FORMS)
    assert found == {
        "exact": '{"id":12345678901234567890,"at":0.1,"sum":1.5,"n":-3}',
        "number": ["12", None, None, "9007199254740993", "1e999", None],
        "fine": [],
        "wrong": [
            "day: write a date like 2026-03-31",
            "size: a multiple of 5",
            "note: 3 characters at most, now 4",
            'tags/1: choose one of "a", "b"',
            "more: the tool does not know this one: remove it",
        ],
        "missing": ["day: this one is needed", "size: has to be a whole number"],
        "changes": ["changed b/1/c", "removed d", "added e"],
        "words": ["same:pay ", "removed:240", "added:180", "same: euros back"],
        "told": [{"event": "x", "id": "7", "data": {"a": 1}}],
    }
