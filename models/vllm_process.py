"""vLLM as a process of its own, that ends when it is told to and when its starter is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from models.vllm_flags import CannotServe

_READY_EVERY = 0.5
_STOP_SECONDS = 20.0

MISSING = (
    "vllm is not installed here. With an NVIDIA GPU: install it into an environment of its own "
    "(python3 -m venv vllm && vllm/bin/pip install vllm) and name it: --vllm vllm/bin/vllm. "
    "On the CPU: scripts/vllm-cpu. In Docker: --print=docker has the command"
)


def executable(named: Path | None, *, made: Path) -> Path:
    """The ``vllm`` to start: the one named, on the PATH, or that ``scripts/vllm-cpu`` has ``made``.

    Raises ``CannotServe`` with the remedy where there is none.
    """
    if named is not None:
        if not os.access(named, os.X_OK) or named.is_dir():
            raise CannotServe(f"--vllm {named}: no program is there")
        return named
    beside = Path(sys.executable).with_name("vllm")
    on_path = shutil.which("vllm")
    for candidate in (beside, Path(on_path) if on_path else None, made):
        if candidate is not None and os.access(candidate, os.X_OK):
            return candidate
    raise CannotServe(MISSING)


class VllmProcess:
    """One vLLM server, in a process group of its own so that its workers end with it."""

    def __init__(
        self, program: Path, arguments: Sequence[str], *, environment: Mapping[str, str]
    ) -> None:
        self._line = [str(program), *arguments]
        self._environment = dict(environment)
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, *, output: int | None = None) -> None:
        """Begin to load the model; ``output`` is a file descriptor, None: this process's own."""
        self._process = await asyncio.create_subprocess_exec(
            *self._line,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=self._environment,
            # Ctrl-C is for the process that owns this one; it then ends this one.
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    async def wait(self) -> int:
        """Its exit code, when it has ended."""
        assert self._process is not None, "not started"
        return await self._process.wait()

    async def until_ready(self, url: str) -> None:
        """Return when ``/health`` under ``url`` answers 200; for ever while it does not."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                with contextlib.suppress(httpx.HTTPError):
                    if (await client.get(f"{url}/health")).status_code == httpx.codes.OK:
                        return
                await asyncio.sleep(_READY_EVERY)

    async def close(self) -> None:
        """Ask it to end, and after a while make it; its workers too. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
        # Workers of a server that died have nobody to end them.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
