"""The loop of a command, and what its process keeps out of the way of the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import sys

import uvloop

from server import loop


def test_a_command_runs_on_uvloop_whoever_runs_it() -> None:
    async def main() -> type:
        return type(asyncio.get_running_loop())

    assert loop.run(main()) is uvloop.Loop


def test_what_is_there_once_a_server_is_up_is_not_looked_at_again() -> None:
    before = gc.get_threshold()
    kept: list[object] = [[]]
    try:
        loop.settle()
        assert gc.get_freeze_count() > 0
        assert all(one is not kept for one in gc.get_objects())
        if sys.version_info < (3, 14):
            assert gc.get_threshold() == loop.COLLECT_AT
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
