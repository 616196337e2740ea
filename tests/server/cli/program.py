"""The program as a person or a script runs it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]
ADDRESS = re.compile(r"ready at (http://127\.0\.0\.1:\d+)")
WORKER_READY = re.compile(r"worker is ready")
PATIENCE = 90.0
HASHED = "tests.server.cli.hashed"


@dataclass(frozen=True, kw_only=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(kw_only=True)
class Running:
    """A program that goes on until it is told to stop: ``up``, ``api``, ``worker``."""

    process: asyncio.subprocess.Process
    url: str = ""
    said: list[str] = field(default_factory=list)

    async def line(self) -> str:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            text = (await self.process.stdout.readline()).decode()
        self.said.append(text)
        return text

    async def ready(self) -> str:
        self.url = (await self.says(ADDRESS))[1]
        return self.url

    async def says(self, wanted: re.Pattern[str]) -> re.Match[str]:
        """Wait for a line like this."""
        while line := await self.line():
            if found := wanted.search(line):
                return found
        raise AssertionError(f"it ended before it said so: {''.join(self.said)}")

    async def end(self, number: signal.Signals) -> int:
        """Send a signal, and give the exit code."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        async with asyncio.timeout(30):
            while await self.line():
                pass
            return await self.process.wait()


@dataclass(frozen=True, kw_only=True)
class Program:
    """``counterpoint`` over one data folder, with an environment of its own."""

    data_dir: Path
    home: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    async def run(self, *arguments: str, stdin: bytes = b"", alone: bool = False) -> Ended:
        """One command; ``alone``: it opens a server of its own, which needs no weights."""
        module = HASHED if alone else "server.cli"
        process = await self._start(module, *arguments, err=asyncio.subprocess.PIPE)
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(stdin)
        assert process.returncode is not None
        return Ended(code=process.returncode, out=out.decode(), err=err.decode())

    @asynccontextmanager
    async def up(self, *arguments: str) -> AsyncIterator[Running]:
        """A server that starts on a free port; killed at the end if it is still there."""
        async with self.running("up", "--port", "0", *arguments) as running:
            yield running

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Running]:
        """A command that goes on; killed at the end if it is still there."""
        process = await self._start(HASHED, *arguments, err=asyncio.subprocess.STDOUT)
        try:
            yield Running(process=process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def _start(self, module: str, *arguments: str, err: int) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=err,
            cwd=ROOT,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "NO_PROXY": "127.0.0.1",
                "COUNTERPOINT_DATA_DIR": str(self.data_dir),
                **self.variables,
            },
        )


def descendants(pid: int) -> list[int]:
    """The processes below one, as they are now."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


async def gone(pids: list[int]) -> None:
    """Wait until these processes have ended."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(handle, ended.set)
        try:
            async with asyncio.timeout(30):
                await ended.wait()
        finally:
            loop.remove_reader(handle)
            os.close(handle)
