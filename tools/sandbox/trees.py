"""Signals to a sandbox's processes from outside, by handle, so that none goes astray."""

from __future__ import annotations

import contextlib
import os
import signal

from tools.sandbox.memory import descendants

_ROUNDS = 5


def handle_of_child(first: int) -> int | None:
    """A pidfd of the process below the namespace's first; None where the kernel lists none."""
    for process in descendants(first):
        if process != first:
            with contextlib.suppress(OSError):
                return os.pidfd_open(process)
    return None


def signal_below(first: int, number: signal.Signals) -> None:
    """Signal everything below the namespace's first process, and what it starts meanwhile."""
    seen = {first}
    for _ in range(_ROUNDS):
        fresh = [process for process in descendants(first) if process not in seen]
        if not fresh:
            return
        for process in fresh:
            seen.add(process)
            _signal(process, number, first=first)


def _signal(process: int, number: signal.Signals, *, first: int) -> None:
    """Signal it if it is still one of the sandbox's: its number may be another's by now."""
    try:
        handle = os.pidfd_open(process)
    except OSError:
        return
    try:
        with contextlib.suppress(OSError):
            space = os.stat(f"/proc/{process}/ns/pid").st_ino  # noqa: PTH116
            if space == os.stat(f"/proc/{first}/ns/pid").st_ino:  # noqa: PTH116
                signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)
