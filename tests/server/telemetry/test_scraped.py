"""A real Prometheus scrapes a real worker and a real API."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.redis_server import RedisServer
from tests.server.cli.conftest import program as program
from tests.server.cli.program import Program
from tests.server.surface import hashed

PROMETHEUS = shutil.which("prometheus")
SECONDS = 120.0
KEY = "prometheus-reads-with-this"
PORT = re.compile(r"Metrics: http://127\.0\.0\.1:(\d+)/metrics")
ROOT = Path(__file__).parents[3]


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.skipif(
    PROMETHEUS is None, reason="no prometheus: scripts/debian-packages --prometheus"
)
async def test_prometheus_reads_an_api_with_its_key_and_a_worker_without_and_loads_the_rules(
    program: Program, tmp_path: Path
) -> None:
    assert PROMETHEUS is not None
    (tmp_path / "redis").mkdir()
    (tmp_path / "key").write_text(KEY)
    redis = RedisServer(tmp_path / "redis")
    await redis.start()
    operator = {"name": "prometheus", "sha256": hashed(KEY), "roles": ["operator", "admin"]}
    apart = replace(
        program,
        variables={
            **program.variables,
            "COUNTERPOINT_REDIS_URL": redis.url,
            "COUNTERPOINT_KEYS": json.dumps([operator]),
            "COUNTERPOINT_KNOWLEDGE_KEY": KEY,
        },
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(redis.close)
        api = await stack.enter_async_context(
            apart.running("api", "--keep-documents", "--port", "0")
        )
        url = await api.ready()
        knowing = {**apart.variables, "COUNTERPOINT_KNOWLEDGE_URL": url}
        worker = await stack.enter_async_context(
            replace(
                apart,
                data_dir=tmp_path / "worker",
                variables={**knowing, "COUNTERPOINT_METRICS_PORT": "0"},
            ).running("worker")
        )
        port = (await worker.says(PORT))[1]
        reader = await _prometheus(stack, tmp_path, targets=[url[7:], f"127.0.0.1:{port}"])
        workers = await _found(reader, "counterpoint_workers", count=2)
        assert {one["value"][1] for one in workers} == {"1"}
        up = await _found(reader, 'up{job="counterpoint"} == 1', count=2)
        assert len(up) == 2
        rules = (await reader.get("/api/v1/rules")).json()["data"]["groups"]
        states = {rule["health"] for group in rules for rule in group["rules"]}
        assert states <= {"ok", "unknown"}
        assert len(rules) == 6


async def _prometheus(
    stack: AsyncExitStack, folder: Path, *, targets: list[str]
) -> httpx.AsyncClient:
    """A client of a Prometheus that scrapes ``targets`` every second."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ROOT / "deploy/prometheus/rules/*.yml")],
        "scrape_configs": [
            {
                "job_name": "counterpoint",
                "authorization": {"credentials_file": str(folder / "key")},
                "static_configs": [{"targets": targets}],
            }
        ],
    }
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    assert PROMETHEUS is not None
    process = await asyncio.create_subprocess_exec(
        PROMETHEUS,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )

    async def end() -> None:
        process.terminate()
        await process.wait()

    stack.push_async_callback(end)
    return await stack.enter_async_context(
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)
    )


async def _found(reader: httpx.AsyncClient, query: str, *, count: int) -> list[Any]:
    """What Prometheus answers, once it has so many series."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                reply = await reader.get("/api/v1/query", params={"query": query})
                found: list[Any] = reply.json()["data"]["result"]
            except (httpx.TransportError, KeyError, ValueError):
                found = []
            if len(found) >= count:
                return found
            await asyncio.sleep(0.2)
