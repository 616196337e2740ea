"""Folders and files watched: what changes is ingested, what is renamed or gone is followed."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import httpx
from watchfiles import awatch

from server import files, ingesting
from server.exits import CommandFailed, Exit
from server.ingesting import Outcome
from server.wire.printable import terminal

QUIET_MS = 400
"""A file is read once nothing has changed for this long."""
LONGEST_MS = 5_000
AGAIN_SECONDS = 2.0


@dataclass(frozen=True, kw_only=True)
class _Seen:
    modified: int
    size: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> _Seen | None:
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(modified=found.st_mtime_ns, size=found.st_size, inode=found.st_ino)


class Watching:
    """Follows ``paths`` until a signal. Errors of single files are told, a server that went away is
    waited for, a folder that vanished as well.
    """

    def __init__(
        self,
        client: httpx.AsyncClient,
        paths: Sequence[Path],
        *,
        collection: str,
        keep: bool,
        as_json: bool,
    ) -> None:
        self._client = client
        self._paths = paths
        self._collection = collection
        self._keep = keep
        self._as_json = as_json
        self._stop = asyncio.Event()
        self._seen: dict[Path, _Seen | None] = {}
        self._said = ""

    def _heed_signals(self) -> None:
        """Ctrl-C and SIGTERM end the watch after what is under way; a second one cuts it short."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        cancel: Callable[[], object] = task.cancel

        def stop() -> None:
            self._stop.set()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, cancel)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)

    async def run(self, found: Sequence[ingesting.Source]) -> None:
        """Until a signal. ``found`` is what was ingested just now."""
        self._heed_signals()
        self._seen = {one.path: _Seen.of(one.path) for one in found if isinstance(one, files.File)}
        self._say(f"watching {', '.join(map(str, self._paths))}; Ctrl-C ends it")
        while not self._stop.is_set():
            if not all(path.exists() for path in self._paths):
                missing = next(path for path in self._paths if not path.exists())
                self._say(f"{missing} is gone; nothing is deleted, waiting for it")
                await self._wait()
                continue
            # What changed before the watch began is found by a look.
            await self._pass()
            async with aclosing(self._changes()) as changes:
                async for _ in changes:
                    await self._pass()
                    if self._stop.is_set() or not all(path.exists() for path in self._paths):
                        break
        self._say("stopped watching")

    async def _changes(self) -> AsyncGenerator[None]:
        async for _ in awatch(
            *self._paths,
            debounce=LONGEST_MS,
            step=QUIET_MS,
            rust_timeout=LONGEST_MS,
            # A folder may be replaced or mounted over without a word.
            yield_on_timeout=True,
            stop_event=self._stop,
            ignore_permission_denied=True,
        ):
            yield

    async def _pass(self) -> None:
        """Ingest what changed since the last one."""
        try:
            found = await asyncio.to_thread(files.collect, self._paths)
        except files.NothingToRead as error:
            self._say(f"{error}; nothing is deleted")
            return
        seen = {one.path: _Seen.of(one.path) for one in found}
        changed = [one for one in found if seen[one.path] != self._seen.get(one.path)]
        if not changed and seen.keys() == self._seen.keys():
            return
        try:
            followed: set[str] = set()
            if not self._keep:
                async for outcome in ingesting.moved(
                    self._client, found, collection=self._collection
                ):
                    followed.add(outcome.name)
                    self._tell(outcome)
            changed = [one for one in changed if one.name not in followed]
            async for outcome in ingesting.ingest(
                self._client, changed, collection=self._collection, follow=True
            ):
                self._tell(outcome)
        except CommandFailed as error:
            if error.code is not Exit.UNAVAILABLE:
                raise
            # All that changed is taken up again once the server is back.
            self._say(f"{error}; trying again")
            await self._wait()
            return
        self._seen = seen

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(AGAIN_SECONDS):
                await self._stop.wait()
        except TimeoutError:
            return

    def _tell(self, outcome: Outcome) -> None:
        self._said = ""
        if self._as_json:
            click.echo(json.dumps(asdict(outcome)))
            return
        match outcome.status:
            case ingesting.FAILED:
                click.echo(terminal(f"skipped {outcome.error}"), err=True)
            case ingesting.MOVED:
                click.echo(terminal(f"moved {outcome.moved_from} to {outcome.name}"))
            case ingesting.DELETED:
                click.echo(terminal(f"deleted {outcome.name}: {ingesting.GONE}"))
            case status:
                click.echo(terminal(f"{status} {outcome.name} ({outcome.chunks} passages)"))

    def _say(self, text: str) -> None:
        # Once, however often it is so.
        if text != self._said:
            self._said = text
            click.echo(terminal(text), err=True)
