"""Files into a server, one at a time, with what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import httpx

from server import client as clients
from server.exits import CommandFailed, Exit
from server.files import File

FAILED = "failed"
FULL_DISK = 507


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one file: ``added``, ``unchanged``, ``updated`` or ``failed``."""

    name: str
    status: str
    document_id: str | None = None
    chunks: int = 0
    pages: int | None = None
    pages_without_text: tuple[int, ...] = ()
    error: str = ""


@dataclass(kw_only=True)
class Summary:
    """All outcomes of an ingest."""

    outcomes: list[Outcome] = field(default_factory=list)

    def count(self, status: str) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def failed(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.status == FAILED]

    @property
    def exit(self) -> Exit:
        if not self.failed:
            return Exit.OK
        return Exit.FAILED if len(self.failed) == len(self.outcomes) else Exit.PARTLY

    def line(self) -> str:
        parts = [f"{word} {self.count(word)}" for word in ("added", "unchanged", "updated")]
        return ", ".join([*parts, f"skipped {len(self.failed)}"])


async def ingest(
    client: httpx.AsyncClient, files: Sequence[File], *, collection: str | None
) -> AsyncIterator[Outcome]:
    """Send each file and tell what became of it; a bad one does not stop the others.

    Raises CommandFailed where the server cannot take any.
    """
    for file in files:
        try:
            data = await asyncio.to_thread(file.path.read_bytes)
        except OSError as error:
            yield _failed(file, f"cannot be read ({error.strerror}); mend its permissions")
            continue
        try:
            reply = await clients.call(
                client,
                "POST",
                "/documents",
                data={"collection": collection} if collection else {},
                files={"files": (file.name, data)},
                timeout=httpx.Timeout(30.0, read=None),
            )
        except CommandFailed as error:
            if error.code is Exit.UNAVAILABLE:
                raise
            # The server refuses this one, such as for its size.
            yield _failed(file, str(error))
            continue
        for result in reply["results"]:
            yield Outcome(
                name=file.name,
                status=result["status"],
                document_id=result.get("document_id"),
                chunks=result.get("chunks") or 0,
                pages=result.get("pages"),
                pages_without_text=tuple(result.get("pages_without_text") or ()),
                error=result.get("error", ""),
            )


def _failed(file: File, error: str) -> Outcome:
    said = error if error.startswith(file.name) else f"{file.name}: {error}"
    return Outcome(name=file.name, status=FAILED, error=said)
