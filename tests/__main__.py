"""The suite as `make test` plays it: all of it, then alone what failed beside the others.

Most tests drive real processes side by side on however few cores there are. One that fails there
and passes alone is told as unsteady, as CPython's `regrtest --rerun` does it, and does not fail
the run; one that fails twice does, and so do more than a few at once.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

MOST = 5
_FAILED = 1


def main(arguments: list[str]) -> int:
    """Run pytest with ``arguments``; returns the exit code that counts."""
    with tempfile.TemporaryDirectory(prefix="counterpoint-tests-") as folder:
        cache = Path(folder)
        code = _pytest(arguments, cache=cache)
        failed = failures(cache)
        if code != _FAILED or not 0 < len(failed) <= MOST:
            return code
        print(f"\nOnce more, alone: {', '.join(failed)}", flush=True)
        # Whatever was chosen by its mark is here chosen by its name.
        code = _pytest(["-m", "", *failed], cache=cache)
    if code == 0:
        print(f"UNSTEADY, passed only when alone: {', '.join(failed)}", flush=True)
    return code


def failures(cache: Path) -> list[str]:
    """The node ids that pytest's cache in ``cache`` says failed last."""
    path = cache / "v" / "cache" / "lastfailed"
    return sorted(json.loads(path.read_text("utf-8"))) if path.exists() else []


def _pytest(arguments: list[str], *, cache: Path) -> int:
    command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *arguments]
    with subprocess.Popen(command) as process:
        # What tests have started, pytest ends when it is interrupted, not when it is killed.
        before = signal.signal(signal.SIGTERM, lambda *_: process.send_signal(signal.SIGINT))
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
