"""``python -m tests.stack.slow_model PORT``: a model that writes one token at a time."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from tests.faults.provider import Fault, Provider

SLOW_SECONDS = 0.02


class _Always(list[Fault]):
    """Every request meets the same."""

    def pop(self, _: object = None) -> Fault:
        return self[0]


@dataclass
class SlowModel(Provider):
    """A provider at a port that stays the same when it is started again."""

    port: int = 0

    async def __aenter__(self) -> SlowModel:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self


async def main(port: int) -> None:
    faults = _Always([Fault.SLOW])
    async with SlowModel(port=port, faults=faults, slow_seconds=SLOW_SECONDS):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
