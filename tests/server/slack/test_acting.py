"""The buttons of an answer: who clicked comes from Slack's signature, which run is looked up."""

from __future__ import annotations

import uuid

import pytest

from server.runs.transitions import RunStatus
from server.slack import answers
from tests.server.slack import events
from tests.server.slack.desk import Desk
from tests.server.surface import Team


async def under_way(desk: Desk, team: Team) -> str:
    team.hold = True
    await desk.send(events.mention())
    await desk.double.until(lambda: desk.double.hanging)
    (run,) = await desk.runs()
    return run.run_id


async def told(desk: Desk, body: str) -> str:
    """What the one who clicked is told, and nobody else."""

    def answered() -> list[str]:
        return [one.shown for one in desk.double.ephemerals if not one.blocks]

    before = len(answered())
    assert (await desk.send(body)).status_code == 200
    await desk.double.until(lambda: len(answered()) > before)
    return answered()[-1]


@pytest.mark.parametrize("user", ["U0ANN", "U0OPS"])
async def test_who_asked_and_operators_stop_a_run(desk: Desk, team: Team, user: str) -> None:
    run_id = await under_way(desk, team)
    await desk.double.until(lambda: desk.double.ephemerals)
    assert answers.STOP in str(desk.double.ephemerals[0].blocks)
    assert await told(desk, events.click(answers.STOP, run_id, user=user)) == "Stopping …"
    await desk.settled()
    assert (await desk.parts.runs.get(run_id)).status is RunStatus.CANCELLED
    assert desk.double.hanging == []
    assert "over already" in await told(desk, events.click(answers.STOP, run_id, user=user))


@pytest.mark.parametrize(
    ("user", "value", "words"),
    [
        ("U0NEW", "", "I do not know you"),
        ("U0EVE", "", "no such answer"),
        ("U0ANN", "00000000-0000-4000-8000-000000000000", "no such answer"),
        ("U0ANN", "forged", "no such answer"),
    ],
)
async def test_a_click_of_somebody_else_or_a_forged_value_stops_nothing(
    desk: Desk, team: Team, user: str, value: str, words: str
) -> None:
    run_id = await under_way(desk, team)
    assert words in await told(desk, events.click(answers.STOP, value or run_id, user=user))
    assert (await desk.parts.runs.get(run_id)).status is RunStatus.RUNNING
    team.let_go.set()
    await desk.settled()


async def test_another_member_of_the_tenant_who_is_no_operator_stops_nothing(
    desk: Desk, team: Team
) -> None:
    team.hold = True
    await desk.send(events.mention(user="U0OPS"))
    await desk.double.until(lambda: desk.double.hanging)
    (run,) = await desk.runs()
    said = await told(desk, events.click(answers.STOP, run.run_id, user="U0ANN"))
    assert "Only who asked" in said
    team.let_go.set()
    await desk.settled()


async def test_thumbs_are_kept_with_the_run_the_last_of_each_person(desk: Desk, team: Team) -> None:
    await desk.send(events.mention())
    await desk.settled()
    (run,) = team.asked
    for word, user in (("up", "U0ANN"), ("down", "U0ANN"), ("up", "U0OPS"), ("up", "U0EVE")):
        await told(desk, events.click(answers.FEEDBACK, f"{word}:{run.run_id}", user=user))
    await told(desk, events.click(answers.FEEDBACK, f"best:{run.run_id}"))
    reply = await desk.client.get(f"/runs/{run.run_id}/feedback")
    given = {one["by"]: (one["score"], one["via"]) for one in reply.json()["items"]}
    assert given == {"ann": (-1, "slack"), "ops": (1, "slack")}
    assert (await desk.client.get(f"/runs/{uuid.uuid4()}/feedback")).status_code == 404
