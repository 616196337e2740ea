"""`/metrics` as Prometheus asks for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from starlette.types import Receive, Scope, Send

from server.app import build
from server.sections import CallerRole, KeySettings
from server.settings import ConfigurationError, Settings
from server.telemetry import metric_names as names
from server.telemetry import port
from server.telemetry.metrics import Metrics
from server.telemetry.requests import RequestCounter
from tests.server.surface import Parts, hashed, in_process

OPERATOR, USER = "operators-key", "users-key"
KEYS = (
    KeySettings(name="prometheus", sha256=hashed(OPERATOR), roles=(CallerRole.OPERATOR,)),
    KeySettings(name="ruth", sha256=hashed(USER)),
)


async def answered(app: FastAPI, key: str = "", path: str = "/metrics") -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with in_process(app, **headers) as client:
        return await client.get(path)


async def test_without_keys_prometheus_needs_none_and_reads_the_text_format(app: FastAPI) -> None:
    reply = await answered(app)
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {one.name for one in text_string_to_metric_families(reply.text)}
    assert "counterpoint_runs" in families


async def test_where_there_are_keys_it_takes_an_operators(parts: Parts) -> None:
    app = build(replace(parts, settings=parts.settings.model_copy(update={"keys": KEYS})))
    assert (await answered(app)).status_code == 401
    assert (await answered(app, USER)).status_code == 403
    assert (await answered(app, OPERATOR)).status_code == 200


async def test_requests_are_counted_by_route_and_never_by_path(parts: Parts) -> None:
    app, metrics = build(parts), parts.scrape.metrics
    await answered(app, path="/ok")
    await answered(app, path="/threads/11111111-1111-4111-8111-111111111111")
    await answered(app, path="/secret-path-of-somebody")
    assert metrics.value(names.HTTP_REQUESTS, "GET", "/ok", "200") == 1
    assert metrics.value(names.HTTP_REQUESTS, "GET", "/threads/{thread_id}", "404") == 1
    assert metrics.value(names.HTTP_REQUESTS, "GET", "other", "404") == 1
    told = metrics.text().decode()
    assert "11111111" not in told
    assert "secret-path" not in told


async def test_an_event_stream_is_a_client_while_it_is_open() -> None:
    metrics = Metrics(process=False)
    during: list[float] = []

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        during.append(metrics.value(names.SSE_CLIENTS))
        raise ConnectionError("the reader left")

    async def nowhere(*_: object) -> None:
        return None

    counter = RequestCounter(stream, metrics=metrics)
    with pytest.raises(ConnectionError):
        await counter({"type": "http", "method": "GET"}, nowhere, nowhere)  # type: ignore[arg-type]
    assert during == [1]
    assert metrics.value(names.SSE_CLIENTS) == 0


def test_a_workers_port_beyond_loopback_needs_keys() -> None:
    port.check(Settings(metrics_port=9464))
    port.check(Settings(metrics_host="0.0.0.0", metrics_port=9464, keys=KEYS))
    with pytest.raises(ConfigurationError, match="is open to others"):
        port.check(Settings(metrics_host="0.0.0.0", metrics_port=9464))


async def test_a_workers_port_asks_for_a_key_only_beyond_loopback(
    parts: Parts, tmp_path: Path
) -> None:
    inside = Settings(data_dir=tmp_path, keys=KEYS, metrics_port=0)
    beyond = inside.model_copy(update={"metrics_host": "0.0.0.0"})
    assert (await answered(port.build(replace(parts, settings=inside)))).status_code == 200
    assert (await answered(port.build(replace(parts, settings=beyond)))).status_code == 401
    assert (
        await answered(port.build(replace(parts, settings=beyond)), OPERATOR)
    ).status_code == 200
    async with port.opened(replace(parts, settings=inside)) as url, httpx.AsyncClient() as client:
        assert url is not None
        assert "counterpoint_runs_total" in (await client.get(url)).text
