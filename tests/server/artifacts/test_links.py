"""Signed links: one file, one tenant, a while."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from redis.asyncio import Redis

from graphs.keys import Keys
from server.app import build
from server.artifacts.links import Links
from server.artifacts.store import Origin
from server.sections import KeySettings
from tests.server.surface import Parts, in_process


async def test_a_link_is_good_for_its_file_its_tenant_and_its_time(
    redis: Redis, keys: Keys
) -> None:
    now = [1000.0]
    links = Links(redis, keys, clock=lambda: now[0])
    query = await links.signer(tenant="a", seconds=60)
    told = dict(parse_qsl(query("u1.x").removeprefix("?")))
    # Another process knows the same secret.
    other = Links(redis, keys, clock=lambda: now[0])
    assert await other.tenant("u1.x", told) == "a"
    assert await links.tenant("u1.y", told) is None
    for changed in ({"tenant": "b"}, {"until": "9999999"}, {"signature": "ä"}, {"until": "x"}):
        assert await links.tenant("u1.x", {**told, **changed}) is None
    assert await links.tenant("u1.x", {}) is None
    now[0] = 1061.0
    assert await links.tenant("u1.x", told) is None


@pytest.mark.usefixtures("team")
async def test_where_keys_are_needed_a_signed_link_needs_none(parts: Parts) -> None:
    one = KeySettings(name="ann", sha256="0" * 64, tenant="acme")
    app = build(replace(parts, settings=parts.settings.model_copy(update={"keys": (one,)})))
    kept = await parts.files.put(
        b"png",
        name="a.png",
        media_type="image/png",
        tenant="acme",
        thread_id="t",
        run_id="r",
        origin=Origin.RUN,
    )
    at = f"/artifacts/{kept.artifact_id}"
    query = await parts.file_links.signer(tenant="acme", seconds=60)
    foreign = await parts.file_links.signer(tenant="default", seconds=60)
    async with in_process(app) as client:
        got = await client.get(at + query(kept.artifact_id))
        assert (got.status_code, got.content) == (200, b"png")
        assert (await client.get(at)).status_code == 401
        assert (await client.get(at + "?signature=x")).status_code == 401
        assert (await client.get(at + foreign(kept.artifact_id))).status_code == 404
        assert (await client.get("/threads?signature=x")).status_code == 401
