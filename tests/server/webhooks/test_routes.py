"""Webhooks as a caller meets them: refused, followed, checked."""

from __future__ import annotations

import asyncio
import ipaddress
import sys
from collections.abc import AsyncIterator
from functools import partial

import httpx
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from server.app import build
from server.routes.run_ends import values
from server.sections import CallerRole, KeySettings
from server.settings import Settings
from server.webhooks import checking, signing
from server.webhooks.sender import Sender
from tests.server.surface import Parts, Team, hashed, in_process, served
from tests.server.webhooks.receiver import receiving

SAID = {"messages": [{"role": "user", "content": "How long?"}]}
RUN = {"assistant_id": "team", "input": SAID}
# Written in another way by Python 3.13.
MAPPED = ipaddress.ip_address("::ffff:10.0.0.1")


def under(parts: Parts, **given: object) -> Parts:
    """The parts under other settings."""
    settings = parts.settings.model_copy(update=given)
    return Parts(**{**vars(parts), "settings": settings})


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(app) as client:
        yield client


@pytest.mark.parametrize(
    ("webhook", "says"),
    [
        ("http://127.0.0.1:9/x", "webhook: 127.0.0.1 is at 127.0.0.1, which is not of the public"),
        ("http://[::ffff:10.0.0.1]/", f"webhook: {MAPPED} is at"),
        ("http://0x7f.1/", "webhook: 127.0.0.1 is at"),
        ("https://localhost/", "webhook: localhost is not of the public internet"),
        ("https://u:p@example.com/", "webhook: may not hold a user name"),
        ("ftp://example.com/", "webhook: must be an http or https URL"),
        ("//example.com/", "webhook: must be an http or https URL, or a path"),
        ("https://exa mple.com/", "webhook: holds white space"),
    ],
)
@pytest.mark.parametrize("path", ["/runs", "/threads/{id}/runs", "/runs/batch"])
async def test_a_webhook_that_leads_inside_is_refused_as_the_run_is_asked(
    http: httpx.AsyncClient, parts: Parts, path: str, webhook: str, says: str
) -> None:
    asked = {**RUN, "webhook": webhook}
    url = path.format(id="5e2f9a3e-7a63-4c14-9b8a-0a5a4d0f0c11")
    answer = await http.post(url, json=[asked] if path.endswith("batch") else asked)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]
    assert await parts.runs.search() == []


async def test_what_the_operator_allows_is_taken(parts: Parts) -> None:
    allowed = under(parts, webhook_allow=("10.0.0.0/8", "localhost"))
    async with in_process(build(allowed)) as http:
        for webhook in ("http://10.1.2.3/", "http://localhost:3000/", "/hooks/done"):
            answer = await http.post("/runs", json={**RUN, "webhook": webhook})
            assert answer.status_code == 200


async def test_a_run_shows_what_became_of_its_webhook(
    http: httpx.AsyncClient, parts: Parts, team: Team
) -> None:
    async with receiving() as receiver:
        known = under(parts, webhook_allow=("127.0.0.1",))
        async with in_process(build(known)) as allowing:
            run = (await allowing.post("/runs", json={**RUN, "webhook": receiver.url})).json()
            await allowing.get(f"/threads/{run['thread_id']}/runs/{run['run_id']}/join")
        shown = await http.get(f"/runs/{run['run_id']}/webhooks")
        (item,) = shown.json()["items"]
        assert (item["state"], item["attempts"], item["status"]) == ("pending", 0, "success")
        sender = Sender(
            parts.webhooks,
            secrets=parts.webhook_secrets,
            values=partial(values, parts),
            opened=checking.opened(known.settings),
        )
        async with sender:
            await sender.tick()
        shown = await http.get(f"/runs/{run['run_id']}/webhooks")
        (item,) = shown.json()["items"]
        assert (item["state"], item["attempts"], item["response"]) == ("delivered", 1, 204)
        secret = (await http.get("/webhooks/secret")).json()["secret"]
        assert receiver.got[0].is_signed_with(secret)
        assert receiver.got[0].headers["Webhook-Id"] == item["webhook_id"]


async def test_a_run_without_webhooks_has_none_and_one_that_is_not_there_is_not_found(
    http: httpx.AsyncClient,
) -> None:
    run = (await http.post("/runs", json=RUN)).json()
    assert (await http.get(f"/runs/{run['run_id']}/webhooks")).json() == {"items": []}
    nobody = "5e2f9a3e-7a63-4c14-9b8a-0a5a4d0f0c11"
    assert (await http.get(f"/runs/{nobody}/webhooks")).status_code == 404


async def test_only_operators_see_a_secret_and_only_their_tenant_s(parts: Parts) -> None:
    def key(name: str, *roles: CallerRole) -> KeySettings:
        return KeySettings(name=name, tenant=name[0], sha256=hashed(name), roles=roles)

    keys = (key("a-op", CallerRole.OPERATOR), key("b-op", CallerRole.OPERATOR))
    user = KeySettings(name="a-user", tenant="a", sha256=hashed("a-user"))
    async with in_process(build(under(parts, keys=(*keys, user)))) as http:

        async def secret(name: str) -> httpx.Response:
            return await http.get("/webhooks/secret", headers={"x-api-key": name})

        first, second = await secret("a-op"), await secret("b-op")
        assert first.json()["secret"].startswith("whsec_")
        assert first.json() != second.json()
        assert (await secret("a-user")).status_code == 403


async def test_the_command_shows_the_secret_of_the_server_that_runs(
    app: FastAPI, parts: Parts
) -> None:
    async with served(app) as url:
        command = ("-m", "server.cli", "key", "--webhook", "--url", url)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
    assert process.returncode == 0
    assert said.decode().strip() == signing.shown(await parts.webhook_secrets.of("default"))


@pytest.mark.parametrize(
    "given",
    [
        {"webhook_allow": ("10.0.0.1/8",)},
        {"webhook_allow": ("http://x",)},
        {"webhook_secret": "short"},
        {"webhook_secret": "whsec_%%%"},
        {"webhook_base": "example.com"},
    ],
)
def test_a_setting_that_cannot_be_meant_stops_the_start(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        Settings.model_validate(given)


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({"port": 8123}, "http://127.0.0.1:8123"),
        ({"port": 8123, "host": "::1"}, "http://[::1]:8123"),
        ({"port": 0}, None),
        ({"webhook_base": "https://agents.example"}, "https://agents.example"),
    ],
)
def test_a_path_leads_to_this_server_unless_a_setting_says_otherwise(
    given: dict[str, object], base: str | None
) -> None:
    assert checking.base(Settings.model_validate(given)) == base
