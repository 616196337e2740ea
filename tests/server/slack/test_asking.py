"""Who asks, in which thread, with which files."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from redis.asyncio import Redis

from graphs import events as told
from graphs import filing
from graphs.keys import Keys
from server.artifacts.keeping import KeptUploads
from server.artifacts.store import Origin
from server.runs.transitions import RunStatus
from server.slack.context import place_of
from tests.server.slack import events
from tests.server.slack.desk import Desk, at_desk
from tests.server.slack.double import APP_TOKEN, BOT_TOKEN, SECRET, TEAM, SlackDouble
from tests.server.surface import ANSWER, Parts, Team


async def test_a_mention_asks_as_who_wrote_it_and_is_answered_in_its_thread(
    desk: Desk, team: Team
) -> None:
    text = "How long, <@U0OPS|ops>? See <https://x.example|the plan> in <#C1|sales> &amp; co"
    await desk.send(events.mention(text, ts="17.1"))
    await desk.settled()
    (run,) = team.asked
    assert (run.asked.user, run.tenant, list(run.asked.roles)) == ("ann", "default", ["user"])
    said = run.asked.messages[0]["content"]
    assert said == "How long, @ops? See the plan (https://x.example) in #sales & co"
    place = place_of(run)
    assert place is not None
    assert (place.channel, place.thread_ts, place.user) == ("C0GENERAL", "17.1", "U0ANN")
    thread = await desk.parts.threads.get(run.thread_id)
    assert thread.metadata["slack_thread"] == "17.1"


async def test_a_direct_message_and_the_pane_need_no_mention(desk: Desk, team: Team) -> None:
    await desk.send(events.pane_opened(thread_ts="17.1"))
    await desk.send(events.direct("Hello", ts="17.2", thread_ts="17.1"))
    await desk.settled()
    assert desk.double.of("assistant.threads.setSuggestedPrompts")[0]["thread_ts"] == "17.1"
    assert desk.double.statuses[0]["thread_ts"] == "17.1"
    assert [one.thread_ts for one in desk.double.said("D0ANN")] == ["17.1"]
    assert len(team.asked) == 1


async def test_a_reply_that_is_also_sent_to_the_whole_conversation_asks(
    desk: Desk, team: Team
) -> None:
    more: dict[str, Any] = {"subtype": "thread_broadcast", "root": {"user": "U0BOT", "ts": "17.1"}}
    await desk.send(events.direct("Hello", ts="17.2", thread_ts="17.1", **more))
    await desk.settled()
    assert [one.asked.messages[0]["content"] for one in team.asked] == ["Hello"]
    assert [one.thread_ts for one in desk.double.said("D0ANN")] == ["17.1"]


async def test_a_forwarded_message_is_asked_about_with_its_words_and_files(
    desk: Desk, team: Team
) -> None:
    double = desk.double
    double.hosted["sales.csv"] = (b"a,b\n1,2\n", "text/csv")
    file = {"id": "F1", "name": "sales.csv", "size": 8}
    forwarded = {
        "is_share": True,
        "is_msg_unfurl": True,
        "author_name": "Bob",
        "text": "Up &amp; down,\nsays <https://x.example|the plan>",
        "files": [{**file, "url_private": f"{double.url}/files-pri/sales.csv"}],
    }
    link = {"is_msg_unfurl": True, "text": "Not meant"}
    await desk.send(events.direct("Is this true?", ts="17.1", attachments=[forwarded, link, 7]))
    await desk.send(events.direct("", ts="18.1", attachments=[{"is_share": True, "text": "Why?"}]))
    await desk.settled()
    quoted = "Forwarded from Bob:\n> Up & down,\n> says the plan (https://x.example)"
    assert {one.asked.messages[0]["content"] for one in team.asked} == {
        f"Is this true?\n\n{quoted}\n\nFiles given: sales.csv",
        "Forwarded:\n> Why?",
    }


async def test_a_thread_in_slack_is_one_thread_here(desk: Desk, team: Team) -> None:
    await desk.send(events.mention("One", ts="17.1"))
    await desk.send(events.mention("Two", ts="17.2", thread_ts="17.1", user="U0OPS"))
    await desk.send(events.mention("Other", ts="18.1"))
    await desk.settled()
    threads = {one.asked.messages[0]["content"]: one.thread_id for one in team.asked}
    assert threads["One"] == threads["Two"] != threads["Other"]


async def test_people_of_two_tenants_in_one_thread_of_slack_share_nothing(
    desk: Desk, team: Team
) -> None:
    await desk.send(events.mention("One", ts="17.1"))
    await desk.send(events.mention("Two", ts="17.2", thread_ts="17.1", user="U0EVE"))
    await desk.settled()
    tenants = {one.tenant: one.thread_id for one in team.asked}
    assert set(tenants) == {"default", "others"}
    assert tenants["default"] != tenants["others"]
    assert {one.asked.user for one in team.asked} == {"ann", "eve"}


async def test_who_is_unknown_is_told_once_how_to_get_in(
    parts: Parts, redis: Redis, keys: Keys, double: SlackDouble
) -> None:
    help_words = "Write to it@corp.example."
    async with at_desk(parts, redis, keys, double, slack_help=help_words) as desk:
        for number in range(3):
            await desk.send(events.mention(user="U0NEW", ts=f"17.{number}"))
        await desk.settled()
        assert await desk.runs() == []
    (told_once,) = double.ephemerals
    assert told_once.ephemeral_to == "U0NEW"
    assert help_words in told_once.shown
    assert "U0NEW" in told_once.shown
    assert double.said("C0GENERAL") == []


@pytest.mark.parametrize(
    ("profile", "allowed"),
    [
        ({"team_id": TEAM, "profile": {"email": "New@Corp.example"}}, True),
        ({"team_id": TEAM, "profile": {"email": "new@evil.example"}}, False),
        ({"team_id": TEAM, "is_restricted": True, "profile": {"email": "new@corp.example"}}, False),
        # Somebody of another workspace can call themselves what they like.
        ({"team_id": "T0EVIL", "profile": {"email": "new@corp.example"}}, False),
        (
            {
                "team_id": TEAM,
                "profile": {"email": "new@corp.example"},
                "is_email_confirmed": False,
            },
            False,
        ),
    ],
)
async def test_an_address_lets_in_only_where_slack_vouches_for_it(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    double: SlackDouble,
    profile: dict[str, object],
    *,
    allowed: bool,
) -> None:
    double.users["U0NEW"] = {"id": "U0NEW", **profile}
    people = ({"email": "*@corp.example", "tenant": "corp"},)
    async with at_desk(parts, redis, keys, double, slack_people=people) as desk:
        # What the event says of the workspace is not enough.
        identity = await desk.context.identities.of(user="U0NEW", team=TEAM)
    assert (identity is not None and identity.tenant == "corp") is allowed


@pytest.mark.parametrize(
    ("entry", "allowed"),
    [
        ({"team": TEAM}, False),
        ({"email": "*@corp.example"}, False),
        ({"email": "guest@corp.example"}, True),
        ({"user": "U0GUEST"}, True),
    ],
    ids=["workspace", "domain", "address", "member"],
)
async def test_a_guest_is_let_in_by_an_entry_of_his_own_only(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    double: SlackDouble,
    entry: dict[str, str],
    *,
    allowed: bool,
) -> None:
    guest = {"is_ultra_restricted": True, "profile": {"email": "guest@corp.example"}}
    double.users["U0GUEST"] = {"id": "U0GUEST", "team_id": TEAM, **guest}
    double.users["U0FULL"] = {"id": "U0FULL", "team_id": TEAM, "profile": guest["profile"]}
    async with at_desk(parts, redis, keys, double, slack_people=(entry,)) as desk:
        found = await desk.context.identities.of(user="U0GUEST", team=TEAM)
        full = await desk.context.identities.of(user="U0FULL", team=TEAM)
    assert (found is not None) is allowed
    assert (full is not None) is ("user" not in entry)


@pytest.mark.parametrize(
    ("user", "team", "allowed"),
    [
        ({"team_id": TEAM}, TEAM, True),
        ({"team_id": TEAM, "is_restricted": True}, TEAM, False),
        ({"team_id": TEAM, "deleted": True}, TEAM, False),
        ({"team_id": "T0EVIL"}, "T0EVIL", False),
        ({"team_id": "T0EVIL"}, TEAM, False),
    ],
)
async def test_the_default_role_is_for_full_members_of_the_own_workspace(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    double: SlackDouble,
    user: dict[str, object],
    team: str,
    *,
    allowed: bool,
) -> None:
    double.users["U0NEW"] = {"id": "U0NEW", **user}
    async with at_desk(
        parts, redis, keys, double, slack_people=(), slack_default_role="user"
    ) as desk:
        identity = await desk.context.identities.of(user="U0NEW", team=team)
    assert (identity is not None) is allowed


async def test_files_shared_in_slack_become_the_threads_files(desk: Desk, team: Team) -> None:
    double = desk.double
    double.hosted["sales.csv"] = (b"a,b\n1,2\n", "text/csv")
    files = [
        {
            "id": "F1",
            "name": "sales.csv",
            "mimetype": "text/csv",
            "size": 8,
            "url_private_download": f"{double.url}/files-pri/sales.csv",
        },
        {
            "id": "F2",
            "name": "elsewhere.csv",
            "mimetype": "text/csv",
            "size": 8,
            "url_private_download": "https://evil.example/files-pri/elsewhere.csv",
        },
        {"id": "F3", "name": "huge.bin", "size": 10**9, "url_private": f"{double.url}/x"},
    ]
    await desk.send(events.direct("", subtype="file_share", files=files))
    await desk.settled()
    (run,) = team.asked
    (kept,) = await desk.parts.files.of_thread(run.thread_id, tenant=run.tenant)
    assert (kept.name, kept.origin, kept.bytes) == ("sales.csv", Origin.UPLOAD, 8)
    said = run.asked.messages[0]["content"]
    assert "Files given: sales.csv" in said
    assert "elsewhere.csv: it does not lie in Slack" in said
    assert "huge.bin: it is larger than" in said
    assert len(double.downloads) == 1


async def test_a_file_of_another_workspace_is_asked_for_before_it_is_fetched(
    desk: Desk, team: Team
) -> None:
    double = desk.double
    double.hosted["plan.csv"] = (b"a,b\n", "text/csv")
    address = f"{double.url}/files-pri/plan.csv"
    double.shared["F1"] = {"id": "F1", "name": "plan.csv", "size": 4, "url_private": address}
    double.shared["F2"] = {"id": "F2", "name": "gone.csv", "file_access": "access_denied"}
    files = [
        {"id": name, "mode": "file_access", "file_access": "check_file_info", "created": 0}
        for name in ("F1", "F2", "F3")
    ]
    await desk.send(events.mention(files=files))
    await desk.settled()
    (run,) = team.asked
    said = run.asked.messages[0]["content"]
    assert "Files given: plan.csv" in said
    assert "gone.csv: Slack does not give it; file: Slack does not give it (file_not_found)" in said
    (kept,) = await desk.parts.files.of_thread(run.thread_id, tenant=run.tenant)
    assert (kept.name, kept.bytes) == ("plan.csv", 4)


@pytest.mark.parametrize(
    ("said", "asked"),
    [("", "Summarize what is attached."), ("How long is the notice?", "How long is the notice?")],
)
async def test_text_documents_shared_in_slack_are_to_be_read(
    desk: Desk, team: Team, said: str, asked: str
) -> None:
    double = desk.double
    double.hosted["notes.md"] = (b"# Notice", "text/markdown")
    file = {
        "id": "F1",
        "name": "notes.md",
        "mimetype": "text/markdown",
        "size": 8,
        "url_private_download": f"{double.url}/files-pri/notes.md",
    }
    await desk.send(events.direct(said, subtype="file_share", files=[file]))
    await desk.settled()
    (run,) = team.asked
    assert run.asked.messages[0]["content"] == f"{asked}\n\nFiles given: notes.md"
    (kept,) = await KeptUploads(desk.parts.files).of_thread(run.thread_id, tenant=run.tenant)
    assert not filing.is_about(run.asked.messages[0]["content"], [kept])


def test_the_token_is_shown_to_slack_alone() -> None:
    from server.slack.downloads import Downloads

    own = Downloads(token="t", api_url="https://slack.com/api/", max_bytes=1)
    good = ["https://files.slack.com/files-pri/T-F/x", "https://slack.com/x"]
    bad = [
        "http://files.slack.com/x",
        "https://files.slack.com.evil.example/x",
        "https://evilslack.com/x",
        "https://files.slack.com@evil.example/x",
        "https://user@files.slack.com/x",
        "https://files.slack.com:8443/x",
        "file:///etc/passwd",
        "https://[::1",
        "",
    ]
    assert [own.is_slacks(url) for url in good] == [True, True]
    assert [url for url in bad if own.is_slacks(url)] == []


async def test_a_thread_that_waits_for_a_person_takes_no_other_question(
    desk: Desk, team: Team
) -> None:
    team.end = told.RunInterrupted(interrupts=[told.Interrupt(id="i1", value="May I?")])
    await desk.send(events.mention(ts="17.1"))
    await desk.double.until(lambda: desk.double.said("C0GENERAL"))
    (run,) = await desk.runs()
    assert (await desk.parts.runs.wait(run.run_id)).status is RunStatus.INTERRUPTED
    await desk.send(events.mention("And?", ts="17.2", thread_ts="17.1"))
    await desk.double.until(
        lambda: [one for one in desk.double.ephemerals if "waits for a decision" in one.shown]
    )
    # It goes on in a message of its own once somebody has decided.
    team.end = None
    await desk.parts.runs.resume(run.run_id, value="yes")
    await desk.settled()
    shown = [one.shown for one in desk.double.said("C0GENERAL")]
    assert "Waits" in shown[0]
    assert ANSWER in shown[-1]
    assert len(await desk.runs()) == 1


async def test_no_secret_reaches_a_log(
    parts: Parts,
    redis: Redis,
    keys: Keys,
    double: SlackDouble,
    team: Team,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with at_desk(parts, redis, keys, double, slack_app_token=APP_TOKEN) as desk:
            double.rate_limit("chat.startStream")
            double.lose_replies("chat.postEphemeral")
            await desk.send(events.mention())
            await desk.send(events.mention(), secret="another")
            await desk.settled()
    assert team.asked
    for secret in (BOT_TOKEN, SECRET, APP_TOKEN):
        assert secret not in caplog.text
        assert secret not in repr(desk.context.settings)
