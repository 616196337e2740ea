"""How often something goes out to Redis, on whichever connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection

from server import script_line


@contextmanager
def counted_trips(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Yields a list with one entry a trip."""
    made: list[int] = []
    send, write = AbstractConnection.send_packed_command, script_line._Open._write

    async def sent(self: Any, *args: Any, **options: Any) -> None:
        made.append(len(made))
        await send(self, *args, **options)

    def written(self: Any) -> None:
        if self._out:
            made.append(len(made))
        write(self)

    with monkeypatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", sent)
        patch.setattr(script_line._Open, "_write", written)
        yield made
