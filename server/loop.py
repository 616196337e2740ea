"""The event loop of a command: Ctrl-C, SIGTERM and a terminal that closes cancel it, so that it
closes what it opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from server.exits import CommandFailed, Exit

T = TypeVar("T")

# A run leaves few cycles behind. At Python's own 700, 10, 10 looking for them was a twentieth of a
# run's CPU, and each 40 runs one pause that readers of tokens felt.
COLLECT_AT = (2_000, 10, 20)
# The number that a shell gives, 1,024 in most, is as many readers; more than these serve nobody.
OPEN_FILES = 65_536


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a command to its end. A second signal cuts its closing short.

    Raises CommandFailed with ``Exit.INTERRUPTED`` when a signal ended it.
    """
    _fill_standard_descriptors()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(_watched(main))
        except (asyncio.CancelledError, KeyboardInterrupt):
            raise CommandFailed("stopped", code=Exit.INTERRUPTED) from None


def _fill_standard_descriptors() -> None:
    """Whoever starts us without stdin would have a socket there, and libuv aborts on closing it."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def open_many_files() -> None:
    """Open as many files as the system lets this process have, ``OPEN_FILES`` at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def settle() -> None:
    """What is there now stays: no collection looks at it again, and there are fewer of them."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AT)


async def _watched(main: Coroutine[Any, Any, T]) -> T:
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    # Under `nohup` it is ignored, and stays so.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGHUP, _hung_up, loop, task)
    return await main


def _hung_up(loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
    """The shell and the kernel may both say it: the second one hurries nothing."""
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    task.cancel()
