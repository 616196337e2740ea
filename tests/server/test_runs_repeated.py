"""Requests that come again under their Idempotency-Key."""

from __future__ import annotations

import pytest
from fastapi import FastAPI

from tests.server.asking import RUNS, THREAD, steps
from tests.server.surface import in_process

pytestmark = pytest.mark.usefixtures("worker")


async def test_an_answer_that_comes_again_is_none_to_the_next_question(app: FastAPI) -> None:
    answer = {"assistant_id": "asks_twice", "command": {"resume": "yes"}}
    async with in_process(app) as client:
        await client.post(f"{RUNS}/wait", json=steps("asks_twice"))
        key = {"Idempotency-Key": "a"}
        first = await client.post(f"{RUNS}/wait", json=answer, headers=key)
        again = await client.post(f"{RUNS}/wait", json=answer, headers=key)
        assert "__interrupt__" in first.json()
        assert again.json() == first.json()
        assert again.headers["content-location"] == first.headers["content-location"]
        state = (await client.get(f"/threads/{THREAD}/state")).json()
        assert (state["values"], state["next"]) == ({"steps": ["told yes"]}, ["ask_again"])
        last = await client.post(f"{RUNS}/wait", json=answer, headers={"Idempotency-Key": "b"})
        assert last.json() == {"steps": ["told yes", "told yes"]}
        late = await client.post(f"{RUNS}/wait", json=answer, headers=key)
        assert late.headers["content-location"] == first.headers["content-location"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/threads/7a3c5a5e-2f0b-4c8e-9b1d-3d0a6f4c1f77/runs", steps("writes")),
        (RUNS, steps("fails")),
        (RUNS, {**steps("writes"), "input": {"steps": ["other"]}}),
        (RUNS, steps("writes", metadata={"a": 1})),
        (RUNS, steps("writes", multitask_strategy="rollback")),
        (RUNS, {"assistant_id": "writes", "command": {"resume": "yes"}}),
        ("/runs", steps("writes")),
    ],
)
async def test_another_request_under_a_known_key_is_refused(
    app: FastAPI, path: str, body: object
) -> None:
    async with in_process(app, **{"Idempotency-Key": "mine"}) as client:
        made = (await client.post(RUNS, json=steps("writes"))).json()["run_id"]
        refused = await client.post(path, json=body)
        assert refused.status_code == 422
        why = f"it was sent with another request before, which made run {made}; use a new one"
        assert refused.json()["detail"] == f"Idempotency-Key: {why}"
        same = await client.post(RUNS, json=steps("writes"))
        assert same.json()["run_id"] == made
