"""Reads what a model's endpoints tell of their load, again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

import httpx

from models import outside, vllm_metrics
from models.pool import Endpoint, Pool
from models.registry import ModelSpec
from models.vllm_metrics import EngineMetrics

EVERY_SECONDS = 2.0
# One that has no such figures is asked for them now and then: it may have been replaced.
_WITHOUT_SECONDS = 60.0
_PATIENCE_SECONDS = 2.0
_LONGEST = 4 * 1024 * 1024

_log = logging.getLogger(__name__)


def metrics_url(url: str) -> str:
    """Where the server of a base URL that ends in ``/v1`` tells its figures."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/").removesuffix("/v1")
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/metrics", "", ""))


async def watch(pool: Pool, spec: ModelSpec, *, every: float = EVERY_SECONDS) -> None:
    """Read the load of each endpoint until cancelled; one that hangs holds back no other."""
    async with asyncio.TaskGroup() as group:
        for endpoint in pool.endpoints:
            group.create_task(_watch_one(pool, endpoint, spec, every=every))


async def _watch_one(pool: Pool, endpoint: Endpoint, spec: ModelSpec, *, every: float) -> None:
    async with opened(endpoint.url, spec) as client:
        while True:
            has_figures = True
            try:
                metrics = await read(client, endpoint.url, model=spec.model)
                has_figures = metrics is not None
                pool.heard(endpoint, metrics)
            except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                _log.debug("no load of %s: %r", endpoint.host, error)
            except Exception:  # noqa: BLE001 - the calls go on without it
                has_figures = False
                _log.exception("the load of %s cannot be read", endpoint.host)
            await asyncio.sleep(every if has_figures else _WITHOUT_SECONDS)


def opened(url: str, spec: ModelSpec) -> httpx.AsyncClient:
    """A client for the figures of the endpoint at ``url``; close it. Raises httpx.ProxyError."""
    headers: Mapping[str, str] = {}
    if spec.key and (key := spec.key.get_secret_value()):
        headers = {"authorization": f"Bearer {key}"}
    return httpx.AsyncClient(timeout=_PATIENCE_SECONDS, headers=headers, **outside.options(url))


async def read(client: httpx.AsyncClient, url: str, *, model: str) -> EngineMetrics | None:
    """What the endpoint tells of its load now; None where it has no such figures.

    Raises httpx.HTTPError, httpx.InvalidURL, ValueError.
    """
    async with client.stream("GET", metrics_url(url)) as reply:
        if reply.status_code >= 500:
            reply.raise_for_status()
        if reply.status_code != 200:
            return None
        body = b""
        async for part in reply.aiter_bytes():
            body += part
            if len(body) > _LONGEST:
                raise ValueError("its figures are too long")
    return vllm_metrics.parse(body.decode(errors="replace"), model=model)
