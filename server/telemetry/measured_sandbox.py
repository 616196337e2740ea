"""The sandbox as it is, with what runs in it counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.telemetry import metric_names as names
from server.telemetry.metrics import Metrics
from tools.sandbox.sandbox import Execution, FileEntry, Isolation, Sandbox, Session


class MeasuredSandbox:
    """``sandbox``, measured. Arguments are those of ``Sandbox``."""

    def __init__(self, sandbox: Sandbox, metrics: Metrics) -> None:
        self._sandbox = sandbox
        self._metrics = metrics

    async def create(self, *, files: Mapping[str, bytes] | None = None) -> Session:
        return MeasuredSession(await self._sandbox.create(files=files), self._metrics)

    async def run(self, code: str, **how: Any) -> Execution:
        return _noted(await self._sandbox.run(code, **how), self._metrics)

    def describe(self) -> Isolation:
        return self._sandbox.describe()

    async def close(self) -> None:
        await self._sandbox.close()


class MeasuredSession:
    """``session``, measured. Arguments are those of ``Session``."""

    def __init__(self, session: Session, metrics: Metrics) -> None:
        self._session = session
        self._metrics = metrics

    async def run(self, code: str, **how: Any) -> Execution:
        return _noted(await self._session.run(code, **how), self._metrics)

    async def put(self, files: Mapping[str, bytes]) -> None:
        await self._session.put(files)

    async def get(self, path: str) -> bytes:
        return await self._session.get(path)

    async def files(self) -> tuple[FileEntry, ...]:
        return await self._session.files()

    async def interrupt(self) -> None:
        await self._session.interrupt()

    async def reset(self) -> None:
        await self._session.reset()

    async def close(self) -> None:
        await self._session.close()


def _noted(execution: Execution, metrics: Metrics) -> Execution:
    metrics.add(names.SANDBOX_RUNS, 1.0, execution.outcome.value)
    metrics.observe(names.SANDBOX_SECONDS, execution.seconds)
    return execution
