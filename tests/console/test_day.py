"""A day at the approvals page, in a real browser over the real app and a real Redis."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, expect

from server.approvals.record import ApprovalStatus as Status
from tests.console import requests as ask
from tests.console.office import Office
from tests.console.screen import screen

pytestmark = pytest.mark.browser


@pytest.mark.siege
async def test_a_day_of_ten_requests(browser: Browser, office: Office) -> None:
    """Ten arrive; two are edited, one rejected, one expires, one is decided elsewhere; a restart
    in between; the rest approved. Each decision is the keyboard's, and each is one audit entry."""
    first = [await office.ask(one) for one in ask.DAY[:4]]
    refund, mail, delete, post = first
    async with screen(browser, office) as at:
        # The key is asked for, and the queue comes by itself.
        await at.reads("This server asks for a key")
        await at.accessible()
        await at.sign_in("nora")
        await at.waiting(4)
        await at.link("Live")
        await at.looks_at("refund")
        rest = [await office.ask(one) for one in ask.DAY[4:]]
        sql, ticket, report, fetch, grant, pay = rest
        await at.waiting(10)
        await at.accessible()

        # Two are edited: a number that the form checks, and a choice within a nested form.
        await at.press("e")
        await at.page.get_by_label("amount").fill("999")
        await at.reads("500 at most")
        await expect(at.page.get_by_role("button", name="Approve with edits")).to_be_disabled()
        await at.page.get_by_label("amount").fill("180.5")
        await at.accessible()
        await at.press("Control+Enter")
        await at.reads("Approving with edits:")
        await at.looks_at("send_email")
        await at.press("s")
        await at.reads("Approved with edits: refund.")
        await at.open("open_ticket")
        await at.press("e")
        await at.page.get_by_label("queue").select_option("legal")
        await at.page.get_by_role("textbox", name="Entry 2").fill("yearly")
        await at.page.get_by_role("button", name="Approve with edits").click()
        await at.press("s")
        await at.reads("Approved with edits: open_ticket.")

        # One is rejected with a reason, after it was taken back once.
        await at.open("post_message")
        await at.press("a", "u")
        await at.says("Taken back: approve post_message")
        assert (await office.now(post)).status is Status.PENDING
        await at.press("r")
        await at.accessible()
        await at.write("Not in a public channel")
        await at.press("Enter", "s")
        await at.reads("Rejected post_message.")

        # One expires before one's eyes; one is decided elsewhere while a decision is held.
        await at.open("fetch_page")
        await office.expire(fetch)
        await at.reads("Nobody decided in time: it expired, and the call does not run")
        await at.open("run_sql")
        await at.press("a")
        await office.elsewhere(sql, "reject", message="I know the answer")
        await at.reads("Not sent: approve run_sql. ana rejected it")

        # The server goes away and comes back; what was decided meanwhile arrives.
        await office.close()
        await at.link("Reconnecting")
        await at.open("write_file")
        await at.press("a", "s")
        await at.reads("was not answered: it is sent again, and counts once")
        await office.open()
        await at.reads("Approved write_file.")
        await at.link("Live")

        # A critical one needs a second yes.
        await at.open("delete_records")
        await at.press("a")
        await at.reads("This one is critical")
        await at.accessible()
        await at.press("n")
        await at.press("a", "y", "s")
        await at.reads("Approved delete_records.")

        # Two people for a large payment; many at once leave the critical one out.
        await at.open("pay_invoice")
        await at.press("a", "s")
        await at.reads("1 more person has to agree")
        await at.reads("1 of 2 agree")
        await office.elsewhere(pay, "approve")
        await at.reads("ana approved it")
        await at.open("send_email")
        await at.press("x", "j", "x", "a")
        await at.reads("One is left out: critical ones are approved one by one")
        await at.accessible()
        await at.press("y")
        # This one is not hurried: the time to undo runs out.
        await at.reads("Approved send_email.")
        await at.open("grant_access")
        await at.press("p")
        await at.write("Interns get the role viewer, which she has.")
        await at.press("Control+Enter", "s")
        await at.reads("Nothing waits")

        # All of it is in the history, with what the audit log says.
        await at.press("h", "/")
        await at.waiting(10)
        await at.write("public channel")
        await at.waiting(1)
        await at.press("Escape", "j")
        await at.reads("Decided")
        await at.reads("via console")
        await at.accessible()

    ended = {one.tool: (await office.now(one)).status for one in [*first, *rest]}
    assert ended == {
        "refund": Status.EDITED,
        "send_email": Status.APPROVED,
        "delete_records": Status.APPROVED,
        "post_message": Status.REJECTED,
        "run_sql": Status.REJECTED,
        "open_ticket": Status.EDITED,
        "write_file": Status.APPROVED,
        "fetch_page": Status.EXPIRED,
        "grant_access": Status.RESPONDED,
        "pay_invoice": Status.APPROVED,
    }
    # What nobody touched is what was asked, to the last digit.
    assert (await office.now(refund)).final_args == {**ask.REFUND_KELLER.args, "amount": 180.5}
    assert (await office.now(ticket)).final_args["labels"] == ["refund", "yearly"]
    deciders = {
        said.decider
        for one in (mail, delete, report, grant)
        for said in (await office.now(one)).decisions
    }
    assert deciders == {"nora"}
    told = await office.desk.told()
    assert told.count("requested") == 10
    assert told.count("decided") == 10
    assert told.count("expired") == 1
