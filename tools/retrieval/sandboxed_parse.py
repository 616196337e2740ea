"""Parsing in a process that can be killed: limits on time, memory and size, one warm worker."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tools.retrieval.documents import Parsed
from tools.retrieval.errors import PARSE_ERRORS, DamagedDocument, ParseTimeout
from tools.retrieval.ocr import Ocr
from tools.retrieval.parse import Limits, check_size
from tools.retrieval.parse_worker import from_json
from tools.retrieval.sniff import Format

logger = logging.getLogger(__name__)

_ROOT = Path(__file__).parents[2]
_END_SECONDS = 2.0
_START_SECONDS = 30.0
# A fresh process now and then bounds what a library leaks.
_FILES_PER_WORKER = 200


class SandboxedParser:
    """A Parser whose work happens in up to ``workers`` processes of ours, scans by ``ocr``."""

    def __init__(
        self, *, limits: Limits | None = None, ocr: Ocr | None = None, workers: int = 1
    ) -> None:
        self._limits = limits or Limits()
        self._ocr = ocr
        self._free = asyncio.Semaphore(workers)
        self._idle: list[_Worker] = []
        self._closed = False

    async def parse(self, data: bytes, *, name: str, format: Format | None = None) -> Parsed:  # noqa: A002
        """The text of ``data``. Raises ParseError."""
        check_size(data, name=name, limits=self._limits)
        async with self._free:
            reply = await self._reply(data, name=name, format=format)
        return _parsed(reply, name=name)

    async def _reply(self, data: bytes, *, name: str, format: Format | None) -> dict[str, Any]:  # noqa: A002
        while True:
            if self._closed:
                raise RuntimeError("the parser is closed")
            worker = (
                self._idle.pop() if self._idle else await _Worker.start(self._limits, self._ocr)
            )
            healthy = False
            try:
                async with asyncio.timeout(self._limits.seconds) as deadline:
                    more = _MoreTime(deadline, self._ocr.seconds if self._ocr else 0.0)
                    reply = await worker.ask(data, name=name, format=format, more=more)
                healthy = worker.asked < _FILES_PER_WORKER
                return reply
            except TimeoutError:
                raise ParseTimeout(
                    f"{name}: not read within {self._limits.seconds:g} s; split it or save it"
                    " in a simpler format"
                ) from None
            except (asyncio.IncompleteReadError, OSError, ValueError):
                how = await worker.ending()
                # A used worker may have died of something else: the document gets a fresh one.
                if worker.asked == 1:
                    raise DamagedDocument(
                        f"{name}: crashed the parser ({how}); get a good copy and ingest it"
                    ) from None
            finally:
                if healthy and not self._closed:
                    self._idle.append(worker)
                else:
                    await worker.kill()

    async def _start(self) -> _Worker:
        return await _Worker.start(self._limits, self._ocr)

    async def close(self) -> None:
        """End the workers."""
        self._closed = True
        while self._idle:
            await self._idle.pop().kill()


class _MoreTime:
    """Puts a document's deadline off while its scans are read, by ``most`` seconds in all."""

    def __init__(self, deadline: asyncio.Timeout, most: float) -> None:
        self._deadline = deadline
        self._left = most

    def __call__(self, seconds: float) -> None:
        granted = max(0.0, min(seconds, self._left))
        self._left -= granted
        when = self._deadline.when()
        if when is not None and granted and not self._deadline.expired():
            self._deadline.reschedule(when + granted)


class _Worker:
    """One worker process and the pipes to it. After any failure it is killed, not mended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._complaints: deque[str] = deque(maxlen=20)
        self._listening = asyncio.create_task(self._listen())
        self.asked = 0

    @classmethod
    async def start(cls, limits: Limits, ocr: Ocr | None) -> _Worker:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "tools.retrieval.parse_worker",
            json.dumps({"limits": asdict(limits), "ocr": asdict(ocr) if ocr else None}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Nothing of the server's environment: a parser that is taken over finds no keys.
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(_ROOT)},
            cwd="/",
            start_new_session=True,
        )
        return cls(process)

    async def ask(
        self,
        data: bytes,
        *,
        name: str,
        format: Format | None,  # noqa: A002
        more: Callable[[float], None],
    ) -> dict[str, Any]:
        """The worker's reply. Raises OSError or IncompleteReadError if it died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.asked += 1
        request = {"name": name, "bytes": len(data), "format": format}
        self._process.stdin.write(json.dumps(request).encode("utf-8") + b"\n")
        self._process.stdin.write(data)
        await self._process.stdin.drain()
        head = json.loads(await self._process.stdout.readuntil(b"\n"))
        while "more_seconds" in head:
            more(float(head["more_seconds"]))
            head = json.loads(await self._process.stdout.readuntil(b"\n"))
        reply = await self._process.stdout.readexactly(head["bytes"])
        answer: dict[str, Any] = json.loads(reply)
        return answer

    async def ending(self) -> str:
        """How the process ended, of which so far only the pipes are known to be gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_SECONDS):
                await self._process.wait()
        return await self.kill()

    async def kill(self) -> str:
        """End the process and say how it ended."""
        if self._process.returncode is None:
            # The group, since a worker that reads a scan has a child.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        code = await self._process.wait()
        await self._listening
        if self._process.stdin is not None:
            self._process.stdin.close()
        if code not in (0, -signal.SIGKILL) and self._complaints:
            logger.warning("parser process: %s", "".join(self._complaints).strip())
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.read(4096):
            self._complaints.append(line.decode("utf-8", errors="replace"))


def _parsed(reply: dict[str, Any], *, name: str) -> Parsed:
    if "error" in reply:
        if "traceback" in reply:
            logger.warning("%s: the parser failed\n%s", name, reply["traceback"])
        raise PARSE_ERRORS[reply["error"]](reply["message"])
    return from_json(reply["parsed"])
