"""The product seen from outside: its command line, started, asked and stopped."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from evals.questions import Question
from evals.transcript import Attempt
from graphs.events import EVENT, RunEvent, RunFailed, RunFinished

T = TypeVar("T")

_ADDRESS: Final = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\]):\d+")
_LINE_LIMIT: Final = 2**24


class ProductError(Exception):
    """The product did not do what was asked; the message holds its own last words."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What came of one question: the run's events, the seconds, and why there is no answer."""

    events: tuple[RunEvent, ...]
    seconds: float
    failure: str = ""

    @property
    def finished(self) -> RunFinished | None:
        return next((e for e in reversed(self.events) if isinstance(e, RunFinished)), None)


@dataclass(frozen=True, kw_only=True)
class Product:
    """A running server and how the commands find it.

    ``command`` is the program with its leading arguments, ``where`` the option that points the
    commands at the server. Times in seconds.
    """

    command: tuple[str, ...]
    where: tuple[str, ...]
    patience: float = 300.0

    async def ingest(self, docs: Path, *, collection: str | None = None) -> None:
        """Put a folder into a collection, or into the one that is asked by default.

        Raises:
            ProductError: nothing could be ingested.
        """
        code, _, said = await self._run(
            "ingest", str(docs), *_in(collection), *self.where, limit=self.patience
        )
        if code != 0:
            raise ProductError(f"`counterpoint ingest` ended with {code}: {said}")

    async def ask(self, question: Question) -> Attempt:
        """Ask one question; a failure becomes part of the attempt."""
        reply = await self.put(question.question)
        return Attempt(
            question=question, events=reply.events, seconds=reply.seconds, failure=reply.failure
        )

    async def put(
        self, text: str, *, collection: str | None = None, options: Sequence[str] = ()
    ) -> Reply:
        """Put one question to the team; a failure becomes part of the reply. ``options`` are
        further ones of `counterpoint ask`.
        """
        begun = time.monotonic()
        code, out, said = await self._run(
            *("ask", text, "--json", *options, *_in(collection), *self.where),
            limit=self.patience,
        )
        seconds = time.monotonic() - begun
        found = events(out)
        failure = ""
        if not any(isinstance(event, RunFinished) for event in found):
            told = [event.message for event in found if isinstance(event, RunFailed)]
            failure = (told or [said or f"`counterpoint ask` ended with {code}"])[-1]
        return Reply(events=found, seconds=seconds, failure=failure)

    async def _run(self, *args: str, limit: float) -> tuple[int, bytes, str]:
        process = await asyncio.create_subprocess_exec(
            *self.command,
            *args,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = bytearray(), bytearray()
        late = False
        try:
            async with asyncio.timeout(limit):
                await asyncio.gather(_read(process.stdout, out), _read(process.stderr, err))
                await process.wait()
        except TimeoutError:
            late = True
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if late:
            # What it had said until then belongs into the transcript.
            return -1, bytes(out), f"no end after {limit:.0f} s"
        lines = err.decode(errors="replace").strip().splitlines()
        return process.returncode or 0, bytes(out), lines[-1] if lines else ""


def finished(work: Coroutine[Any, Any, T]) -> T:
    """The result; meanwhile SIGTERM ends it as Ctrl-C does: with the server that it started."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(work)
    finally:
        signal.signal(signal.SIGTERM, before)


def _in(collection: str | None) -> tuple[str, ...]:
    return () if collection is None else ("--collection", collection)


def events(out: bytes) -> tuple[RunEvent, ...]:
    """The run events among lines of output; what is not one is passed over."""
    found = []
    for row in out.splitlines():
        try:
            found.append(EVENT.validate_json(row))
        except ValidationError:
            continue
    return tuple(found)


def installed() -> tuple[str, ...]:
    """The product's command beside this Python.

    Raises:
        ProductError: it is not installed.
    """
    command = Path(sys.executable).with_name("counterpoint")
    if not command.exists():
        raise ProductError(f"{command} is missing; run `make install`")
    return (str(command),)


@asynccontextmanager
async def running(
    command: Sequence[str], *, data_dir: Path, patience: float = 1800.0
) -> AsyncIterator[Product]:
    """A server of its own on a free port; stopped as Ctrl-C stops it.

    Args:
        command: the program with its leading arguments.
        data_dir: where it keeps its data; weights stay where the user has them.
        patience: seconds until it must be ready, a first download included.

    Raises:
        ProductError: it ended or was silent before it was ready.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        "up",
        "--port",
        "0",
        "--data-dir",
        str(data_dir),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=_LINE_LIMIT,
    )
    assert process.stdout is not None
    last: deque[str] = deque(maxlen=5)
    draining: asyncio.Task[None] | None = None
    try:
        try:
            async with asyncio.timeout(patience):
                address = await _address(process.stdout, last=last)
        except TimeoutError:
            address = ""
            last.append(f"not ready after {patience:.0f} s")
        if not address:
            raise ProductError("`counterpoint up` did not start: " + " / ".join(last))
        # A full pipe would stop the server.
        draining = asyncio.create_task(_drain(process.stdout))
        yield Product(command=tuple(command), where=("--data-dir", str(data_dir)))
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
            if draining is None:
                draining = asyncio.create_task(_drain(process.stdout))
            try:
                await asyncio.wait_for(process.wait(), 30)
            except TimeoutError:
                process.kill()
                await process.wait()
        if draining is not None:
            await draining


async def _address(stream: asyncio.StreamReader, *, last: deque[str]) -> str:
    """The first local address that the server prints; empty when it ends before."""
    async for raw in stream:
        row = raw.decode(errors="replace").strip()
        last.append(row)
        if found := _ADDRESS.search(row):
            return found[0]
    return ""


async def _read(stream: asyncio.StreamReader, into: bytearray) -> None:
    while piece := await stream.read(65536):
        into += piece


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass
