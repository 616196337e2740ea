"""What a model is told of the files that a user gave: names, sizes, and how each begins.

They are read in the sandbox and nowhere else; what comes back is bounded, and data.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from importlib import resources
from typing import Any, Protocol

from tools.sandbox.frames import words
from tools.sandbox.sandbox import Outcome, SandboxError
from tools.sandbox.threads import ThreadSessions, key_of
from tools.uploads import NoUploads, Upload, Uploads, lay

FILES = 20
"""Most files that are told of by name."""
CHARACTERS = 3_000
_EACH = 900
_SECONDS = 10.0
_REMEMBERED = 64


class Files(Protocol):
    """The files that a thread's user gave, as the team sees them."""

    @property
    def means(self) -> str:
        """What code may use to read them, in a sentence."""
        ...

    async def there(self, *, tenant: str, thread_id: str) -> Sequence[Upload]:
        """Which there are, oldest first."""
        ...

    async def shown(self, *, tenant: str, thread_id: str) -> str:
        """How they begin, for a model: data, ``CHARACTERS`` at most. Empty without any."""
        ...


class NamedFiles:
    """Files by name and size alone: where no code runs, nobody looks into them."""

    def __init__(self, uploads: Uploads | None = None) -> None:
        self._uploads = uploads if uploads is not None else NoUploads()

    @property
    def means(self) -> str:
        return "No code runs here: say so."

    async def there(self, *, tenant: str, thread_id: str) -> Sequence[Upload]:
        return await self._uploads.of_thread(thread_id, tenant=tenant)

    async def shown(self, *, tenant: str, thread_id: str) -> str:
        return told(await self.there(tenant=tenant, thread_id=thread_id), {})


class SandboxFiles:
    """Files as they begin, read in their thread's session."""

    def __init__(self, sessions: ThreadSessions, uploads: Uploads, *, libraries: str = "") -> None:
        """``libraries`` says, in a phrase, what code may import beside the standard library."""
        self._sessions = sessions
        self._uploads = uploads
        self._known: OrderedDict[tuple[str, str], tuple[tuple[str, ...], str]] = OrderedDict()
        self._libraries = libraries

    @property
    def means(self) -> str:
        there = f"{self._libraries}." if self._libraries else "Only the standard library is there."
        return f"{there} Nothing more can be installed, and there is no network."

    async def there(self, *, tenant: str, thread_id: str) -> Sequence[Upload]:
        return await self._uploads.of_thread(thread_id, tenant=tenant)

    async def shown(self, *, tenant: str, thread_id: str) -> str:
        given = await self.there(tenant=tenant, thread_id=thread_id)
        if not given:
            return ""
        place, ids = (tenant, thread_id), tuple(one.id for one in given)
        known = self._known.get(place)
        if known is not None and known[0] == ids:
            return known[1]
        try:
            beginnings = await self._read(given, tenant=tenant, thread_id=thread_id)
        except (SandboxError, ValueError):
            # The call that uses them will say what is wrong.
            return told(given, {})
        text = told(given, beginnings)
        self._known[place] = (ids, text)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return text

    async def _read(
        self, given: Sequence[Upload], *, tenant: str, thread_id: str
    ) -> dict[str, str]:
        async with self._sessions.held(key_of(tenant, thread_id)) as held:
            await lay(
                held.session, self._uploads, laid=held.laid, tenant=tenant, thread_id=thread_id
            )
            names = [one.name for one in given[-FILES:]]
            made = await held.session.run(_program(names), timeout=_SECONDS)
        if made.outcome is not Outcome.FINISHED:
            return {}
        return _beginnings(made.stdout)


def told(given: Sequence[Upload], beginnings: dict[str, str]) -> str:
    """Names, sizes and beginnings as text; the newest files where there are too many."""
    parts = []
    if len(given) > FILES:
        parts.append(f"({len(given) - FILES} older files are there as well)")
    for one in given[-FILES:]:
        begins = beginnings.get(one.name, "")[:_EACH]
        lines = "".join(f"\n  {line}" for line in begins.splitlines())
        parts.append(f"{one.name} ({one.bytes:,} bytes){lines}")
    text = "\n".join(parts)
    return text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"


def _program(names: Sequence[str]) -> str:
    """The guest's half as one cell that leaves no name behind."""
    source = (resources.files("tools") / "file_preview_guest.py").read_text("utf-8")
    inner = f"exec({source!r}, space := {{'__name__': 'preview'}})"
    return f"(lambda space=None: ({inner}, space['preview']({list(names)!r}), None)[-1])()"


def _beginnings(stdout: str) -> dict[str, str]:
    """What the guest said, as far as it is what was asked."""
    try:
        read: Any = json.loads(stdout.strip().rpartition("\n")[2])
    except ValueError:
        return {}
    many = read if isinstance(read, list) else []
    return {
        one["name"]: words(one["text"])
        for one in many
        if isinstance(one, dict)
        and isinstance(one.get("name"), str)
        and isinstance(one.get("text"), str)
    }
