"""The exchange in the pictures of docs/slack.md is one that really goes that way."""

from __future__ import annotations

from pathlib import Path

from redis.asyncio import Redis

from graphs.keys import Keys
from server.runs.queue import RunQueue
from server.slack import cards
from tests.server.approvals.desk import desk_of
from tests.server.slack import drawing, exchange, pictures, scenes
from tests.server.slack.double import slack_double
from tests.server.slack.office import Office, settings_of

DOCS = Path(__file__).parent.parent.parent.parent / "docs"


async def test_a_question_is_paused_edited_approved_and_answered_and_drawn_like_that(
    redis: Redis, redis_url: str, keys: Keys
) -> None:
    async with RunQueue(redis_url, keys) as queue, slack_double() as slack:
        office = Office(desk=desk_of(redis, keys, queue), slack=slack, settings=settings_of(slack))
        found = await exchange.played(office)
        office.check_limits()
    drawn = pictures.pages(found)
    assert "researcher: searching documents" in drawn["slack-approval"]
    assert "Open until" in drawn["slack-approval"]
    assert "-90.5 is less than the minimum of 0" in drawn["slack-edit"]
    assert "<s>480.0</s> <b>90.5</b>" in drawn["slack-answer"]
    assert "I have refunded <b>90.50 EUR</b>" in drawn["slack-answer"]
    assert "Plans and refunds, page 4, Money back" in drawn["slack-answer"]
    assert not slack.hanging
    page = (DOCS / "slack.md").read_text(encoding="utf-8")
    assert all(f"images/{name}.png" in page for name in drawn)
    assert {path.stem for path in (DOCS / "images").glob("slack-*.png")} == set(drawn)


def test_what_is_data_is_no_markup_of_the_page() -> None:
    hostile = scenes.asked(tool="<script>alert(1)</script>", reason="<b>&lt;!channel&gt;</b>")
    drawn = drawing.page(
        drawing.message(cards.card(hostile)["blocks"], who="<i>", at="now", text="<u>", to="U1")
    )
    assert "<script" not in drawn
    assert "<i>" not in drawn
    assert "<u>" not in drawn
    assert "&amp;lt;!channel&amp;gt;" in drawn


def test_every_scene_can_be_drawn() -> None:
    for name, view in scenes.VIEWS.items():
        drawn = drawing.home(view) if view["type"] == "home" else drawing.modal(view)
        assert drawn, name
    for shown in scenes.MESSAGES.values():
        assert drawing.message(shown["blocks"], who="Counterpoint", at="10:00")
