"""A machine whose clock is wrong: every time of day that our code and the engine ask for."""

from __future__ import annotations

import datetime as real
import sys
import time
from typing import Any

_OURS = ("docket", "server", "graphs", "models", "guardrails")


def skew(seconds: float) -> None:
    """From now on the time of day is off by so much in this process; durations stay right."""
    off = real.timedelta(seconds=seconds)
    true_time, true_ns = time.time, time.time_ns

    class Skewed(real.datetime):
        @classmethod
        def now(cls, tz: real.tzinfo | None = None) -> Any:
            return real.datetime.now(tz) + off

    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_ns() + int(seconds * 1e9)
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _OURS and getattr(module, "datetime", None) is real.datetime:
            module.datetime = Skewed  # type: ignore[attr-defined]
