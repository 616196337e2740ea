"""What the headers of a request say of the cron that it makes."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from server.crons.cron import Due
from server.crons.firing import firing
from tests.server.surface import Parts, configured, hashed, in_process

WEEKLY = {
    "assistant_id": "team",
    "schedule": "@weekly",
    "input": {"messages": [{"role": "user", "content": "What is new?"}]},
}


async def test_a_request_that_is_sent_again_under_its_key_makes_no_second_cron(
    app: FastAPI,
) -> None:
    async with in_process(app, **{"Idempotency-Key": "k"}) as client:
        first, again = [(await client.post("/runs/crons", json=WEEKLY)).json() for _ in range(2)]
        assert again == first
        other = await client.post("/runs/crons", json={**WEEKLY, "schedule": "@daily"})
        assert other.status_code == 422
        assert other.json()["detail"].startswith("Idempotency-Key: it was sent with another")
        assert (await client.post("/runs/crons/count")).json() == 1
    async with in_process(app) as client:
        await client.post("/runs/crons", json=WEEKLY)
        assert (await client.post("/runs/crons/count")).json() == 2


@pytest.mark.parametrize(
    ("config", "searched"), [({}, "hr"), ({"configurable": {"collection": "law"}}, "law")]
)
async def test_a_cron_s_runs_search_the_documents_that_its_request_named(
    app: FastAPI, parts: Parts, config: object, searched: str
) -> None:
    async with in_process(app) as client:
        made = await client.post(
            "/runs/crons",
            json={**WEEKLY, "config": config},
            headers={"X-Counterpoint-Collection": "hr"},
        )
        at = f"/runs/crons/{made.json()['cron_id']}"
        await client.patch(at, json={"metadata": {"changed": True}})
    (cron,) = await parts.crons.all(tenant="default")
    assert cron.next_at is not None
    fire = firing(runs=parts.runs, assistants=parts.assistants, collection="handbook")
    await fire(Due(cron=cron, at=cron.next_at, again=False))
    (run,) = await parts.runs.search()
    assert run.asked.collection == searched


@pytest.mark.parametrize(
    ("change", "asker", "roles"),
    [
        ({}, "ann", ["user"]),
        ({"schedule": "@daily", "enabled": True, "metadata": {"a": 1}}, "ann", ["user"]),
        ({"on_run_completed": "keep"}, "olga", ["operator", "user"]),
        (
            {"input": {"messages": [{"role": "user", "content": "Refund 7"}]}},
            "olga",
            ["operator", "user"],
        ),
    ],
)
async def test_a_cron_s_runs_are_asked_for_by_who_says_what_they_do_with_his_roles(
    parts: Parts, change: dict[str, object], asker: str, roles: list[str]
) -> None:
    """The policy looks at the roles, and who asked for a call may not approve it himself."""
    people = {"ann": ["user"], "olga": ["user", "operator"]}
    app = configured(
        parts,
        keys=[{"name": name, "sha256": hashed(name), "roles": has} for name, has in people.items()],
    )
    async with in_process(app, **{"x-api-key": "ann"}) as client:
        made = (await client.post("/runs/crons", json=WEEKLY)).json()
    if change:
        async with in_process(app, **{"x-api-key": "olga"}) as client:
            reply = await client.patch(f"/runs/crons/{made['cron_id']}", json=change)
            assert reply.json()["user_id"] == asker
    (cron,) = await parts.crons.all(tenant="default")
    assert cron.next_at is not None
    fire = firing(runs=parts.runs, assistants=parts.assistants, collection="handbook")
    await fire(Due(cron=cron, at=cron.next_at, again=False))
    (run,) = await parts.runs.search()
    assert (run.asked.user, list(run.asked.roles)) == (asker, roles)
