"""Who calls: keys with names, tenants and roles, and pages of other origins."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from server.auth import CallerDep, OperatorDep
from server.settings import Settings
from tests.server.surface import Parts, Team, configured, hashed, in_process

KEY = "ck-secret"
QUESTION = {"model": "counterpoint", "messages": [{"role": "user", "content": "x"}]}
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type,x-api-key,x-auth-scheme,x-anything",
}


@pytest.mark.parametrize(
    ("given", "origin", "allowed"),
    [
        ({}, "http://localhost:3000", True),
        ({}, "https://chat.example", False),
        ({"api_key_sha256": [hashed(KEY)]}, "http://localhost:3000", True),
        ({"api_key_sha256": [hashed(KEY)], "host": "0.0.0.0"}, "http://localhost:3000", False),
        ({"cors_origins": ["https://chat.example"]}, "https://chat.example", True),
        ({"cors_origins": ["https://chat.example"]}, "https://chat.example.evil.example", False),
        ({"cors_origins": ["*"], "api_key_sha256": [hashed(KEY)]}, "https://chat.example", True),
    ],
)
async def test_a_browser_is_told_before_it_asks_which_pages_may(
    parts: Parts, given: dict[str, Any], origin: str, allowed: bool
) -> None:
    """The preflight carries no key, and is answered all the same."""
    async with in_process(configured(parts, **given), Origin=origin) as client:
        before = await client.options("/threads", headers=PREFLIGHT)
        reading = await client.get("/info", headers={"x-api-key": KEY})
    assert (before.status_code == 200) == allowed
    assert ("access-control-allow-origin" in before.headers) == allowed
    assert ("access-control-allow-origin" in reading.headers) == allowed
    if allowed:
        names = before.headers["access-control-allow-headers"].lower()
        assert {"x-api-key", "x-auth-scheme", "x-anything"} <= set(names.split(","))
        exposed = reading.headers["access-control-expose-headers"].lower()
        assert "content-location" in exposed
        assert "x-pagination-total" in exposed


async def test_a_page_that_was_let_in_reads_what_went_wrong_too(parts: Parts) -> None:
    keyed = configured(parts, api_key_sha256=[hashed(KEY)])
    async with in_process(keyed, Origin="http://localhost:3000") as client:
        refused = await client.get("/info")
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "http://localhost:3000"


async def test_a_listed_page_may_act_without_keys_and_no_other(parts: Parts, team: Team) -> None:
    app = configured(parts, cors_origins=["https://chat.example"])
    statuses = []
    for origin in ("https://chat.example", "https://evil.example"):
        async with in_process(app, Origin=origin) as client:
            statuses.append((await client.post("/v1/chat/completions", json=QUESTION)).status_code)
    assert statuses == [200, 403]
    assert len(team.asked) == 1


def test_a_page_of_anybody_needs_keys() -> None:
    with pytest.raises(ValueError, match="cors_origins: '\\*' lets every web page act here"):
        Settings(cors_origins=("*",))


ACME = {"name": "ann", "sha256": hashed("k-acme"), "tenant": "acme"}
OTHER = {"name": "bob", "sha256": hashed("k-other").upper(), "tenant": "other"}
NOTE = {"documents": [{"id": "note", "title": "Note", "text": "The blue room seats twelve."}]}


async def test_a_tenant_finds_only_its_own_documents(parts: Parts) -> None:
    app = configured(parts, keys=[ACME, OTHER], api_key_sha256=[hashed(KEY)])
    found = {}
    async with in_process(app) as client:
        added = await client.post("/documents", json=NOTE, headers={"x-api-key": "k-acme"})
        assert added.json()["results"][0]["status"] == "added"
        for key in ("k-other", KEY, "k-acme"):
            headers = {"x-api-key": key}
            query = {"query": "blue room"}
            hits = await client.post("/documents/search", json=query, headers=headers)
            listed = await client.get("/documents", headers=headers)
            found[key] = (len(hits.json()["hits"]), listed.json()["total"])
            gone = await client.delete("/documents/note", headers=headers)
            assert gone.status_code == (204 if key == "k-acme" else 404)
    assert found == {"k-other": (0, 0), KEY: (0, 0), "k-acme": (1, 1)}


async def test_a_caller_carries_its_name_tenant_and_roles(parts: Parts) -> None:
    app = configured(
        parts, keys=[ACME, {**OTHER, "roles": ["operator"]}], api_key_sha256=[hashed(KEY)]
    )

    async def who(caller: CallerDep) -> dict[str, Any]:
        return {"name": caller.name, "tenant": caller.tenant, "roles": sorted(caller.roles)}

    async def repair(caller: OperatorDep) -> dict[str, Any]:
        return {"name": caller.name}

    app.add_api_route("/who", who)
    app.add_api_route("/repair", repair)
    told, repaired = {}, {}
    async with in_process(app) as client:
        for key in ("k-acme", "k-other", KEY):
            bearer = {"Authorization": f"Bearer {key}", "X-Auth-Scheme": "langsmith-api-key"}
            told[key] = (await client.get("/who", headers=bearer)).json()
            repaired[key] = await client.get("/repair", headers=bearer)
    assert told["k-acme"] == {"name": "ann", "tenant": "acme", "roles": ["user"]}
    assert told["k-other"] == {"name": "bob", "tenant": "other", "roles": ["operator"]}
    assert (told[KEY]["tenant"], len(told[KEY]["roles"])) == ("default", 3)
    assert [reply.status_code for reply in repaired.values()] == [403, 200, 200]
    assert "'ann' is no operator's" in repaired["k-acme"].json()["detail"]


async def test_on_loopback_without_keys_the_caller_may_all(app: FastAPI) -> None:
    async def repair(caller: OperatorDep) -> str:
        return caller.tenant

    app.add_api_route("/repair", repair)
    async with in_process(app) as client:
        assert (await client.get("/repair")).json() == "default"


@pytest.mark.parametrize(
    ("key", "tenant", "status"),
    [("k-acme", "acme", 200), ("k-acme", "other", 403), (KEY, "other", 200), (KEY, "a:b", 422)],
)
async def test_only_an_admin_acts_for_another_tenant(
    parts: Parts, key: str, tenant: str, status: int
) -> None:
    app = configured(parts, keys=[ACME], api_key_sha256=[hashed(KEY)])

    async def who(caller: CallerDep) -> str:
        return caller.tenant

    app.add_api_route("/who", who)
    async with in_process(app, **{"x-api-key": key, "X-Counterpoint-Tenant": tenant}) as client:
        reply = await client.get("/who")
    assert reply.status_code == status
    if status == 200:
        assert reply.json() == tenant


async def test_a_chat_is_a_run_of_the_callers_tenant_and_name(parts: Parts, team: Team) -> None:
    app = configured(parts, keys=[ACME])
    async with in_process(app, **{"x-api-key": "k-acme"}) as client:
        assert (await client.post("/v1/chat/completions", json=QUESTION)).status_code == 200
    (record,) = team.asked
    assert (record.tenant, record.asked.user) == ("acme", "ann")
