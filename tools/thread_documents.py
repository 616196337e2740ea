"""Text documents that a user gave to a thread, made readable: a collection of the thread's own.

They are read when a tool first looks for them, by the same parser as all documents, and only what
is not there yet. Whoever drops the thread's files drops its collection.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from tools.retrieval.documents import Hit
from tools.retrieval.errors import ParseError
from tools.retrieval.knowledge import Knowledge
from tools.uploads import Uploads

READABLE = frozenset(
    {".pdf", ".docx", ".pptx", ".html", ".htm", ".md", ".markdown", ".txt", ".rst", ".eml"}
)
"""Endings of files that are read as text; tables and all else are the coder's."""
MOST = 50
_REFUSED = 256
_AGAIN_SECONDS = 300.0
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,57}")


class Notes(Protocol):
    """Where it is written which threads have a collection, so that none is forgotten."""

    async def add(self, *, tenant: str, thread_id: str) -> None:
        """Before a document is read, and after."""
        ...


class NoNotes:
    """Nothing is written down."""

    async def add(self, *, tenant: str, thread_id: str) -> None:
        del tenant, thread_id


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a thread's user gave to read: where it is found (empty: nowhere), and what could not
    be read, with the reason."""

    collection: str = ""
    unread: tuple[str, ...] = ()


class ThreadDocuments:
    """The readable ones among the uploads of threads, each a document under its upload's id."""

    def __init__(
        self,
        knowledge: Knowledge,
        uploads: Uploads,
        *,
        notes: Notes | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._knowledge = knowledge
        self._uploads = uploads
        self._notes = notes if notes is not None else NoNotes()
        self._clock = clock
        # When, too: a machine that was busy, or short of memory, may read the same content later.
        self._refused: OrderedDict[str, tuple[float, str]] = OrderedDict()

    async def ready(self, *, tenant: str, thread_id: str) -> Given:
        """Have all of it searchable. Raises StoreError."""
        given = await self._uploads.of_thread(thread_id, tenant=tenant) if thread_id else ()
        readable = [one for one in given if is_readable(one.name)][-MOST:]
        if not readable:
            return Given()
        collection, unread = collection_of(thread_id), []
        for one in readable:
            if said := self._lately(one.id):
                unread.append(said)
                continue
            there = await self._knowledge.document(one.id, tenant=tenant, collection=collection)
            if there is not None:
                continue
            content = await self._uploads.read(one.id, tenant=tenant)
            if content is None:
                continue
            await self._notes.add(tenant=tenant, thread_id=thread_id)
            try:
                await self._knowledge.ingest(
                    content,
                    name=one.name,
                    tenant=tenant,
                    collection=collection,
                    document_id=one.id,
                )
            except ParseError as error:
                unread.append(str(error))
                self._refused[one.id] = self._clock(), str(error)
                while len(self._refused) > _REFUSED:
                    self._refused.popitem(last=False)
            finally:
                # Again: the thread may have been dropped, with its note, meanwhile.
                await self._notes.add(tenant=tenant, thread_id=thread_id)
        return Given(collection=collection, unread=tuple(unread))

    def _lately(self, upload_id: str) -> str:
        """Why it could not be read a short while ago; empty where it is to be tried."""
        since, said = self._refused.get(upload_id, (0.0, ""))
        if said and self._clock() - since >= _AGAIN_SECONDS:
            del self._refused[upload_id]
            return ""
        return said


async def drop(knowledge: Knowledge, *, tenant: str, thread_id: str) -> None:
    """Take out all that a thread's user gave to read. May be done again. Raises StoreError."""
    collection = collection_of(thread_id)
    found = knowledge.documents(tenant=tenant, collection=collection)
    for document_id in [one.document_id async for one in found]:
        await knowledge.delete(document_id, tenant=tenant, collection=collection)


def is_readable(name: str) -> bool:
    """Whether a file is read as text, by its name's ending."""
    return PurePosixPath(name).suffix.casefold() in READABLE


def collection_of(thread_id: str) -> str:
    """The name of a thread's own collection."""
    if _PLAIN.fullmatch(thread_id):
        return f"thread.{thread_id}"
    return f"thread.{hashlib.sha256(thread_id.encode()).hexdigest()[:40]}"


def joined(theirs: Sequence[Hit], others: Sequence[Hit], *, limit: int) -> list[Hit]:
    """Two lists as one: whichever first is nearer in meaning comes next, each list in its order.

    Only the cosine means the same in two collections.
    """
    left, right = list(theirs), list(others)
    found: list[Hit] = []
    while (left or right) and len(found) < limit:
        first = left and (not right or _near(left[0]) >= _near(right[0]))
        found.append((left if first else right).pop(0))
    return found


def _near(hit: Hit) -> float:
    return hit.scores.dense if hit.scores.dense is not None else -1.0
