"""Crons over HTTP: by hand, with both unmodified clients, and the runs that they make."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from fastapi import FastAPI
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.errors import NotFoundError, UnprocessableEntityError
from redis.asyncio import Redis

from graphs.keys import Keys
from server import clock as clocks
from server.app import build
from server.assistants.records import built_in_id
from server.crons.firing import firing
from server.crons.records import Crons
from server.crons.scheduler import Scheduler
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from tests.server.surface import Parts, Team, in_process, served

SAID = {"messages": [{"role": "user", "content": "What is new?"}]}
DAILY = {"assistant_id": "team", "schedule": "0 9 * * *", "input": SAID}


class Clock:
    """Redis' time, moved forward by hand from noon: the same tests at every hour of the day."""

    def __init__(self, redis: Redis) -> None:
        self._now = clocks.of_redis(redis)
        today = datetime.now(UTC)
        noon = today.replace(hour=12, minute=0, second=0, microsecond=0)
        self.ahead = noon + timedelta(days=1) - today

    async def __call__(self) -> int:
        return await self._now() + round(self.ahead.total_seconds() * 1e6)


@pytest.fixture
def clock(redis: Redis) -> Clock:
    return Clock(redis)


@pytest.fixture
def timed(parts: Parts, redis: Redis, keys: Keys, clock: Clock) -> Parts:
    """The parts, with crons on a clock that a test moves."""
    return replace(parts, crons=Crons(redis, keys, clock=clock))


@pytest.fixture
def scheduler(timed: Parts) -> Scheduler:
    fire = firing(runs=timed.runs, assistants=timed.assistants, collection="handbook")
    return Scheduler(timed.crons, fire=fire)


@pytest.fixture
async def http(timed: Parts) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(build(timed)) as client:
        yield client


class Client:
    """The crons of either client, called in the same way."""

    def __init__(self, client: Any) -> None:
        self.crons = client.crons
        self.threads = client.threads
        self.called: set[str] = set()

    async def __call__(self, name: str, *args: Any, **options: Any) -> Any:
        self.called.add(name)
        return await called(getattr(self.crons, name), *args, **options)


async def called(method: Any, *args: Any, **options: Any) -> Any:
    if inspect.iscoroutinefunction(method):
        return await method(*args, **options)
    return await asyncio.to_thread(method, *args, **options)


@pytest.fixture(params=["async", "sync"])
async def client(app: FastAPI, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    async with served(app) as url:
        if request.param == "async":
            async with get_client(url=url, api_key=None) as made:
                yield Client(made)
        else:
            with get_sync_client(url=url, api_key=None) as sync:
                yield Client(sync)


async def test_every_method_of_the_client_works(client: Client) -> None:
    thread_id = str(uuid.uuid4())
    await called(client.threads.create, thread_id=thread_id)
    end = datetime.now(UTC) + timedelta(days=365)
    made = await client(
        "create",
        "team",
        schedule="30 18 * * 1-5",
        input=SAID,
        metadata={"kind": "report"},
        config={"tags": ["nightly"]},
        webhook="https://example.com/hook",
        interrupt_before=["write"],
        on_run_completed="keep",
        multitask_strategy="enqueue",
        end_time=end,
        enabled=True,
        timezone=ZoneInfo("Europe/Berlin"),
        stream_mode=["values"],
        durability="sync",
    )
    assert made["assistant_id"] == built_in_id("team")
    assert made["thread_id"] is None
    assert made["timezone"] == "Europe/Berlin"
    assert made["on_run_completed"] == "keep"
    assert made["enabled"] is True
    assert datetime.fromisoformat(made["end_time"]) == end
    assert made["payload"]["input"] == SAID
    assert made["payload"]["webhook"] == "https://example.com/hook"
    assert made["metadata"] == {"kind": "report"}
    coming = datetime.fromisoformat(made["next_run_date"]).astimezone(ZoneInfo("Europe/Berlin"))
    assert (coming.hour, coming.minute) == (18, 30)
    assert coming.weekday() < 5

    on_thread = await client(
        "create_for_thread", thread_id, "team", schedule="@hourly", input=SAID, enabled=False
    )
    assert on_thread["thread_id"] == thread_id
    assert on_thread["on_run_completed"] is None
    assert on_thread["next_run_date"] is None

    assert await client("count") == 2
    assert await client("count", assistant_id="team", metadata={"kind": "report"}) == 1
    assert await client("count", thread_id=thread_id) == 1
    found = await client("search", assistant_id="team", sort_by="created_at", sort_order="asc")
    assert [one["cron_id"] for one in found] == [made["cron_id"], on_thread["cron_id"]]
    assert [one["cron_id"] for one in await client("search", enabled=False)] == [
        on_thread["cron_id"]
    ]
    assert len(await client("search", limit=1, offset=1)) == 1
    picked = await client("search", thread_id=thread_id, select=["cron_id", "now"])
    assert set(picked[0]) == {"cron_id", "now"}

    changed = await client(
        "update",
        made["cron_id"],
        schedule="0 7 * * *",
        end_time=None,
        input={"messages": [{"role": "user", "content": "Other"}]},
        metadata={"more": 1},
        on_run_completed="delete",
        enabled=False,
        timezone="UTC",
    )
    assert changed["schedule"] == "0 7 * * *"
    assert changed["end_time"] is None
    assert changed["payload"]["input"]["messages"][0]["content"] == "Other"
    assert changed["payload"]["webhook"] == "https://example.com/hook"
    assert changed["metadata"] == {"kind": "report", "more": 1}
    assert changed["on_run_completed"] == "delete"
    assert changed["next_run_date"] is None
    again = await client("update", made["cron_id"], enabled=True)
    assert datetime.fromisoformat(again["next_run_date"]).hour == 7
    assert again["timezone"] == "UTC"

    await client("delete", made["cron_id"])
    with pytest.raises(NotFoundError):
        await client("delete", made["cron_id"])
    assert await client("count") == 1
    public = {
        name for name, _ in inspect.getmembers(client.crons, callable) if not name.startswith("_")
    }
    assert client.called == public


async def test_the_client_raises_what_is_wrong(client: Client) -> None:
    with pytest.raises(UnprocessableEntityError, match="schedule: bad hour"):
        await client("create", "team", schedule="0 25 * * *", input=SAID)
    with pytest.raises(NotFoundError):
        await client("create_for_thread", str(uuid.uuid4()), "team", schedule="@daily", input=SAID)
    with pytest.raises(NotFoundError):
        await client("create", "nobody", schedule="@daily", input=SAID)


async def forward(scheduler: Scheduler, clock: Clock, **time: float) -> None:
    clock.ahead += timedelta(**time)
    await scheduler.tick()


async def run_of(parts: Parts) -> RunRecord:
    (record,) = await parts.runs.search()
    return record


async def test_a_cron_makes_runs_as_its_caller_would(
    http: httpx.AsyncClient, timed: Parts, team: Team, scheduler: Scheduler, clock: Clock
) -> None:
    body = {**DAILY, "metadata": {"kind": "report"}, "webhook": "https://example.com/hook"}
    made = (await http.post("/runs/crons", json=body)).json()
    await forward(scheduler, clock, days=1)
    record = await run_of(timed)
    assert record.asked.metadata == {"kind": "report", "cron_id": made["cron_id"]}
    assert record.asked.messages == [{"role": "user", "content": "What is new?"}]
    assert record.asked.webhook == "https://example.com/hook"
    assert record.asked.collection == "handbook"
    assert record.asked.temporary
    assert record.asked.user == "local"
    assert (await timed.runs.wait(record.run_id)).status is RunStatus.SUCCESS
    shown = (await http.get(f"/runs/crons/{made['cron_id']}")).json()
    assert shown["next_run_date"] > made["next_run_date"]
    assert shown["error"] is None


async def test_each_run_of_a_stateless_cron_has_a_thread_of_its_own(
    http: httpx.AsyncClient, timed: Parts, scheduler: Scheduler, clock: Clock
) -> None:
    await http.post("/runs/crons", json={**DAILY, "on_run_completed": "keep"})
    for _ in range(3):
        await forward(scheduler, clock, days=1)
    found = await timed.runs.search()
    assert len({record.thread_id for record in found}) == 3
    assert not any(record.asked.temporary for record in found)


async def test_the_runs_of_a_thread_s_cron_go_on_in_it(
    http: httpx.AsyncClient, timed: Parts, scheduler: Scheduler, clock: Clock
) -> None:
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    await http.post(f"/threads/{thread_id}/runs/crons", json=DAILY)
    for _ in range(2):
        await forward(scheduler, clock, days=1)
    found = await timed.runs.of_thread(thread_id)
    assert len(found) == 2
    assert not any(record.asked.temporary for record in found)


async def test_a_cron_whose_thread_went_stops_and_says_so(
    http: httpx.AsyncClient, timed: Parts, scheduler: Scheduler, clock: Clock
) -> None:
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    made = (await http.post(f"/threads/{thread_id}/runs/crons", json=DAILY)).json()
    await http.delete(f"/threads/{thread_id}")
    await forward(scheduler, clock, days=1)
    shown = (await http.get(f"/runs/crons/{made['cron_id']}")).json()
    assert shown["error"] == f"no thread {thread_id}"
    assert shown["next_run_date"] is None
    assert await timed.runs.search() == []


async def test_a_firing_that_its_busy_thread_refuses_is_left_out(
    http: httpx.AsyncClient, timed: Parts, scheduler: Scheduler, clock: Clock
) -> None:
    thread_id = (await http.post("/threads", json={})).json()["thread_id"]
    body = {**DAILY, "multitask_strategy": "reject"}
    made = (await http.post(f"/threads/{thread_id}/runs/crons", json=body)).json()
    await forward(scheduler, clock, days=1)
    await forward(scheduler, clock, days=1)
    assert len(await timed.runs.of_thread(thread_id)) == 1
    shown = (await http.get(f"/runs/crons/{made['cron_id']}")).json()
    assert "is busy with run" in shown["error"]
    assert shown["next_run_date"] is not None


async def test_a_cron_whose_assistant_went_says_so_and_waits_for_the_next_time(
    http: httpx.AsyncClient, timed: Parts, scheduler: Scheduler, clock: Clock
) -> None:
    assistant = (await http.post("/assistants", json={"graph_id": "echo"})).json()
    body = {**DAILY, "assistant_id": assistant["assistant_id"]}
    made = (await http.post("/runs/crons", json=body)).json()
    await http.delete(f"/assistants/{assistant['assistant_id']}")
    await forward(scheduler, clock, days=1)
    shown = (await http.get(f"/runs/crons/{made['cron_id']}")).json()
    assert assistant["assistant_id"] in shown["error"]
    assert shown["next_run_date"] is not None
    found = await http.post("/runs/crons/search", json={"assistant_id": assistant["assistant_id"]})
    assert [one["cron_id"] for one in found.json()] == [made["cron_id"]]


async def test_a_worker_that_died_between_claim_and_run_loses_none_and_makes_none_twice(
    http: httpx.AsyncClient, timed: Parts, scheduler: Scheduler, clock: Clock
) -> None:
    await http.post("/runs/crons", json=DAILY)
    clock.ahead += timedelta(days=1)
    (before,) = (await timed.crons.claim()).due
    await forward(scheduler, clock, minutes=1)
    assert len(await timed.runs.search()) == 1
    # And one that died after it had made the run, before it had said so.
    clock.ahead += timedelta(days=1)
    (due,) = (await timed.crons.claim()).due
    assert due.at > before.at
    await firing(runs=timed.runs, assistants=timed.assistants, collection="handbook")(due)
    await forward(scheduler, clock, minutes=1)
    assert len(await timed.runs.search()) == 2


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"schedule": None}, 422, "schedule is missing"),
        ({"schedule": "* * *"}, 422, "schedule: must have five fields"),
        ({"schedule": "0 0 30 2 *"}, 422, "schedule: bad day-of-month"),
        ({"timezone": "Mars/Base"}, 422, "timezone: no timezone 'Mars/Base'"),
        ({"end_time": "2020-01-01T00:00:00Z"}, 422, "end_time: is over already"),
        ({"end_time": "soon"}, 422, "end_time:"),
        ({"on_run_completed": "burn"}, 422, "on_run_completed:"),
        ({"assistant_id": "nobody"}, 404, ""),
        ({"input": {"messages": []}}, 422, "input.messages"),
        ({"stream_mode": "all"}, 422, "stream_mode:"),
        ({"webhook": "http://169.254.169.254/x"}, 422, "webhook: 169.254.169.254 is at"),
        ({"command": {"resume": 1}}, 400, "command.resume:"),
    ],
)
async def test_a_cron_that_could_never_run_is_refused(
    http: httpx.AsyncClient, change: dict[str, Any], status: int, says: str
) -> None:
    answer = await http.post("/runs/crons", json={**DAILY, **change})
    assert answer.status_code == status
    assert answer.json()["detail"].startswith(says)
    assert (await http.post("/runs/crons/count")).json() == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"schedule": "61 * * * *"}, "schedule: bad minute"),
        ({"timezone": "Nowhere"}, "timezone:"),
        ({"webhook": "http://localhost/"}, "webhook: localhost is not of the public internet"),
        ({"input": "text"}, "input: must be an object"),
        ({"stream_mode": ["all"]}, "stream_mode:"),
        ({"config": {"recursion_limit": 0}}, "config.recursion_limit:"),
    ],
)
async def test_a_change_that_is_wrong_changes_nothing(
    http: httpx.AsyncClient, change: dict[str, Any], says: str
) -> None:
    made = (await http.post("/runs/crons", json=DAILY)).json()
    answer = await http.patch(f"/runs/crons/{made['cron_id']}", json=change)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(says)
    assert (await http.get(f"/runs/crons/{made['cron_id']}")).json() == made


async def test_crons_are_listed_a_page_at_a_time_in_any_order(http: httpx.AsyncClient) -> None:
    for hour in (3, 1, 2):
        body = {**DAILY, "schedule": f"0 {hour} 1 1 *", "metadata": {"hour": hour}}
        await http.post("/runs/crons", json=body)
    await http.post("/runs/crons", json={**DAILY, "enabled": False, "metadata": {"hour": 0}})

    async def hours(**asked: Any) -> list[int]:
        answer = await http.post("/runs/crons/search", json=asked)
        assert answer.headers["X-Pagination-Total"] == "4"
        return [one["metadata"]["hour"] for one in answer.json()]

    assert await hours() == [0, 2, 1, 3]
    assert await hours(sort_by="next_run_date", sort_order="asc") == [1, 2, 3, 0]
    assert await hours(sort_by="next_run_date") == [3, 2, 1, 0]
    assert await hours(limit=2, offset=1) == [2, 1]
    wrong = await http.post("/runs/crons/search", json={"select": ["nothing"]})
    assert wrong.status_code == 422


async def test_another_tenant_s_cron_is_not_there(timed: Parts, http: httpx.AsyncClient) -> None:
    made = (await http.post("/runs/crons", json=DAILY)).json()
    definition = (await timed.crons.get(made["cron_id"], tenant="default")).definition
    other = await timed.crons.create(definition, tenant="other")
    path = f"/runs/crons/{other.cron_id}"
    assert (await http.get(path)).status_code == 404
    assert (await http.patch(path, json={"enabled": False})).status_code == 404
    assert (await http.delete(path)).status_code == 404
    assert (await http.post("/runs/crons/count")).json() == 1
