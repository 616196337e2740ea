"""Where webhooks go, and where never."""

from __future__ import annotations

from server.webhooks.deliveries import State
from tests.server.surface import Parts, Team
from tests.server.webhooks.receiver import Receiver, answers, receiving
from tests.server.webhooks.sending import Making, Names, delivery, ended
from tools.web.addresses import Opened


async def test_a_redirect_is_not_followed(parts: Parts, team: Team, made: Making) -> None:
    async with receiving() as inside, receiving(answers(302, Location=inside.url)) as receiver:
        record = await ended(parts, receiver.url)
        async with made() as sender:
            await sender.tick()
        assert len(receiver.got) == 1
        assert inside.got == []
    assert (await delivery(parts, record)).error == "answered 302"


async def test_an_address_inside_is_never_called(
    parts: Parts, team: Team, made: Making, receiver: Receiver
) -> None:
    named = f"http://hooks.example:{receiver.port}/"
    records = [await ended(parts, url) for url in (receiver.url, named)]
    async with made(opened=Opened(), resolver=Names()) as sender:
        await sender.tick()
    assert receiver.got == []
    for record in records:
        found = await delivery(parts, record)
        assert found.state is State.DEAD
        assert "not of the public internet" in str(found.error)


async def test_a_name_that_an_operator_opened_is_called_by_its_name(
    parts: Parts, team: Team, made: Making, receiver: Receiver
) -> None:
    await ended(parts, f"http://hooks.example:{receiver.port}/a?b=c")
    async with made(opened=Opened.of(["hooks.example"]), resolver=Names()) as sender:
        await sender.tick()
    (got,) = receiver.got
    assert got.headers["Host"] == f"hooks.example:{receiver.port}"
    assert got.path == "/a?b=c"


async def test_a_path_leads_to_the_base_that_the_operator_set(
    parts: Parts, team: Team, made: Making, receiver: Receiver
) -> None:
    await ended(parts, "/done?x=1")
    async with made(opened=Opened(), base=f"http://127.0.0.1:{receiver.port}/in") as sender:
        await sender.tick()
    assert receiver.got[0].path == "/in/done?x=1"


async def test_a_path_without_a_base_says_what_to_set(
    parts: Parts, team: Team, made: Making
) -> None:
    record = await ended(parts, "/done")
    async with made() as sender:
        await sender.tick()
    found = await delivery(parts, record)
    assert found.state is State.DEAD
    assert "webhook_base" in str(found.error)
