"""What is told of a run: steps while it works, an answer once, whatever Slack does meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs import events as told
from graphs.keys import Keys
from server.artifacts.store import Origin
from server.runs.transitions import RunStatus
from server.slack import answers
from server.slack.owed import Owed
from tests.server.slack import events
from tests.server.slack.desk import Desk, at_desk
from tests.server.slack.double import SlackDouble
from tests.server.slack.messages import Message
from tests.server.surface import ANSWER, SOURCES, USAGE, Parts, Team

CHANNEL = "C0GENERAL"


def ending(answer: str, **more: Any) -> told.RunFinished:
    return told.RunFinished(
        answer=answer, **{"sources": [], "stop_reason": "answered", "usage": USAGE, **more}
    )


def texts(messages: list[Message]) -> str:
    """What a stream has brought, or what the Markdown blocks of an edited message say."""
    found = []
    for one in messages:
        marked = [block["text"] for block in one.blocks if block["type"] == "markdown"]
        found.append("".join(marked) or one.text)
    return "".join(found)


async def streaming(desk: Desk, team: Team) -> Message:
    """A run under way, whose stream is open."""
    team.hold = True
    await desk.send(events.mention())
    found: list[Message] = await desk.double.until(lambda: desk.double.hanging)
    return found[0]


async def test_steps_are_streamed_while_the_team_works_and_then_the_answer(
    desk: Desk, team: Team
) -> None:
    message = await streaming(desk, team)
    assert message.thread_ts == "1700000000.000100"
    await desk.double.until(lambda: len(message.chunks) > 1)
    begun = desk.double.of("chat.startStream")[0]
    assert begun["recipient_user_id"] == "U0ANN"
    assert message.text == ""
    team.let_go.set()
    await desk.settled()
    assert not message.streaming
    assert message.text == ANSWER
    tasks = {one["id"]: one for one in message.chunks if one["type"] == "task_update"}
    assert {one["status"] for one in tasks.values()} == {"complete"}
    assert any("searching documents" in one["title"] for one in tasks.values())
    assert "Plans and refunds" in message.shown
    assert desk.double.said(CHANNEL) == [message]


async def test_where_streams_are_refused_one_message_is_edited(desk: Desk, team: Team) -> None:
    desk.double.refuse("chat.startStream", "unknown_method")
    team.hold = True
    await desk.send(events.mention())
    found = await desk.double.until(lambda: desk.double.said(CHANNEL))
    await desk.double.until(lambda: "searching documents" in found[0].shown)
    assert "answer_stop" in str(found[0].blocks)
    team.let_go.set()
    await desk.settled()
    (message,) = desk.double.said(CHANNEL)
    assert texts([message]) == ANSWER
    assert "answer_stop" not in str(message.blocks)
    assert "answer_feedback" in str(message.blocks)
    # What is refused for good is not tried with every answer.
    await desk.send(events.mention(ts="18.1"))
    await desk.settled()
    assert len(desk.double.of("chat.startStream")) == 1


async def test_one_message_is_edited_once_a_second_at_most(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble, team: Team
) -> None:
    double.refuse("chat.startStream", "unknown_method")
    double.edit_seconds = 1.0
    async with at_desk(parts, redis, keys, double, pace_seconds=1.0) as desk:
        team.hold = True
        await desk.send(events.mention())
        found = await double.until(lambda: double.said(CHANNEL))
        # On a busy machine its first form may say so already.
        await double.until(lambda: "searching documents" in found[0].shown)
        team.let_go.set()
        await desk.settled()
    assert double.of("chat.update")
    assert double.too_fast == []
    assert texts(double.said(CHANNEL)) == ANSWER


@pytest.mark.parametrize(
    "method", ["chat.startStream", "chat.appendStream", "chat.stopStream", "chat.postEphemeral"]
)
async def test_a_call_that_is_rate_limited_is_made_again_and_nothing_comes_twice(
    desk: Desk, team: Team, method: str
) -> None:
    desk.double.rate_limit(method)
    message = await streaming(desk, team)
    team.let_go.set()
    await desk.settled()
    assert message.text == ANSWER
    assert desk.double.said(CHANNEL) == [message]


async def test_retry_after_is_honoured(desk: Desk, team: Team) -> None:
    desk.double.refuse("chat.startStream")
    desk.double.rate_limit("chat.postMessage", retry_after=2)
    await desk.send(events.mention())
    await desk.settled()
    first, second = (one.at for one in desk.double.calls if one.method == "chat.postMessage")
    assert second - first >= 2
    assert team.asked


@pytest.mark.parametrize("method", ["chat.startStream", "chat.appendStream", "chat.stopStream"])
async def test_a_lost_reply_leaves_no_message_open_and_no_word_twice(
    desk: Desk, team: Team, method: str
) -> None:
    desk.double.lose_replies(method)
    team.hold = True
    await desk.send(events.mention())
    await desk.double.until(lambda: desk.double.of("chat.startStream"))
    team.let_go.set()
    await desk.settled()
    assert desk.double.hanging == []
    (message,) = desk.double.said(CHANNEL)
    assert texts([message]) == ANSWER


async def test_a_lost_reply_to_a_plain_message_posts_it_once(desk: Desk, team: Team) -> None:
    desk.double.refuse("chat.startStream")
    desk.double.lose_replies("chat.postMessage")
    await desk.send(events.mention())
    await desk.settled()
    assert team.asked
    assert texts(desk.double.said(CHANNEL)) == ANSWER
    assert len(desk.double.said(CHANNEL)) == 1


@pytest.mark.parametrize("streams", [True, False])
async def test_an_answer_that_is_too_long_for_slack_comes_in_pieces(
    desk: Desk, team: Team, *, streams: bool
) -> None:
    if not streams:
        desk.double.refuse("chat.startStream")
    answer = "".join(f"Line {number} of a long answer.\n" for number in range(3_000))
    team.end = ending(answer, sources=SOURCES)
    team.hold = True
    await desk.send(events.mention())
    await desk.double.until(lambda: desk.double.said(CHANNEL))
    team.let_go.set()
    await desk.settled()
    found = desk.double.said(CHANNEL)
    assert len(found) > 1
    assert texts(found) == answer
    assert desk.double.hanging == []
    # What stands under an answer stands there once, at its end.
    assert ["answer_feedback" in str(one.blocks) for one in found] == [False] * (len(found) - 1) + [
        True
    ]


async def test_nobody_is_called_by_what_a_model_writes(desk: Desk, team: Team) -> None:
    team.end = ending("Hear this, <!channel> and <@U0OPS>.")
    await desk.send(events.mention())
    await desk.settled()
    shown = desk.double.said(CHANNEL)[0].shown
    assert "Hear this" in shown
    assert "<!channel>" not in shown
    assert "<@U0OPS>" not in shown


async def test_a_run_that_fails_says_so_in_its_message(desk: Desk, team: Team) -> None:
    team.end = told.RunFailed(error="ModelError", message="The model does not answer.")
    message = await streaming(desk, team)
    team.let_go.set()
    await desk.settled()
    assert "The model does not answer." in message.shown
    assert not message.streaming


async def test_blocks_that_slack_refuses_do_not_cost_the_answer(
    desk: Desk, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = [{"type": "section"}]
    monkeypatch.setattr(answers, "under_answer", lambda *_, **__: broken)
    message = await streaming(desk, team)
    team.let_go.set()
    await desk.settled()
    assert message.text == ANSWER
    assert not message.streaming


async def test_while_slack_is_down_the_run_goes_on_and_its_answer_comes_later(
    desk: Desk, team: Team
) -> None:
    message = await streaming(desk, team)
    desk.double.down = True
    team.let_go.set()
    (run,) = await desk.runs()
    assert (await desk.parts.runs.wait(run.run_id)).status is RunStatus.SUCCESS
    desk.double.down = False
    await desk.settled()
    assert not message.streaming
    assert texts([message]) == ANSWER


async def test_an_answer_that_cannot_be_written_in_time_is_given_up_and_logged(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    double: SlackDouble,
    team: Team,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with at_desk(parts, redis, keys, double, slack_patience_seconds=0.5) as desk:
        team.hold = True
        await desk.send(events.mention())
        await double.until(lambda: double.hanging)
        double.down = True
        team.let_go.set()
        await desk.settled()
        (run,) = await desk.runs()
        assert run.status is RunStatus.SUCCESS
    assert f"the answer of run {run.run_id} is given up in Slack" in caplog.text


async def test_a_place_that_is_gone_is_given_up_at_once(desk: Desk, team: Team) -> None:
    for method in ("chat.startStream", "chat.postMessage"):
        desk.double.refuse(method, "channel_not_found")
    await desk.send(events.mention())
    await desk.settled()
    assert len(team.asked) == 1


async def test_a_message_that_somebody_deleted_is_written_anew(desk: Desk, team: Team) -> None:
    message = await streaming(desk, team)
    del desk.double.messages[message.channel, message.ts]
    team.let_go.set()
    await desk.settled()
    assert texts(desk.double.said(CHANNEL)) == ANSWER


async def test_what_the_run_made_is_uploaded_into_the_thread(desk: Desk, team: Team) -> None:
    await streaming(desk, team)
    (run,) = await desk.runs()
    await desk.parts.files.put(
        b"a,b\n1,2\n",
        name="out/table.csv",
        media_type="text/csv",
        tenant=run.tenant,
        thread_id=run.thread_id,
        run_id=run.run_id,
        origin=Origin.RUN,
    )
    team.let_go.set()
    await desk.settled()
    (file,) = desk.double.files.values()
    assert (file["filename"], file["content"]) == ("table.csv", b"a,b\n1,2\n")
    assert (file["channel"], file["thread_ts"]) == (CHANNEL, "1700000000.000100")


async def test_a_process_that_lost_its_lease_says_nothing_more(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble, team: Team
) -> None:
    """Another one has the reply: what both wrote would come twice."""
    async with at_desk(parts, redis, keys, double, lease_seconds=0.5) as desk:
        message = await streaming(desk, team)
        (run,) = await desk.runs()
        replies = Owed(redis, keys, name="reply", lease_seconds=3600)
        item = keys.slack("") + f"reply:{run.run_id}"
        # Somebody else has claimed it; the process that tells it finds out as it renews.
        await redis.hincrby(item, "token", 1)
        await redis.zadd(keys.slack("") + "reply-due", {run.run_id: 9e15})
        await double.until(lambda: not _tells())
        team.let_go.set()
        await desk.parts.runs.wait(run.run_id)
        assert message.text == ""
        await redis.zadd(keys.slack("") + "reply-due", {run.run_id: 0})
        await desk.settled()
        assert texts([message]) == ANSWER
        assert replies.lease_seconds == 3600


def _tells() -> bool:
    return any(task.get_name() == "slack reply" for task in asyncio.all_tasks())
