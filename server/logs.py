"""Logging, configured by commands alone: a file in the data folder that rotates, or stderr."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path

FILE = "counterpoint.log"
_LARGEST = 5_000_000
_KEPT = 2
# These tell every request and every poll.
_CHATTY = (
    *("docket", "httpx", "httpx2", "httpcore", "uvicorn", "openai", "aiohttp"),
    *("asyncio", "langgraph"),
)


def configure(data_dir: Path, *, debug: bool = False) -> Path:
    """Write what is logged to a file that only its owner reads; with ``debug`` also to stderr."""
    path = data_dir / FILE
    path.touch(mode=0o600)
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=_LARGEST, backupCount=_KEPT, encoding="utf-8")
    ]
    if debug:
        handlers.append(logging.StreamHandler())
    _log_to(handlers, debug=debug)
    return path


def to_stderr(*, debug: bool = False) -> None:
    """Write what is logged to standard error: several processes cannot rotate one file."""
    _log_to([logging.StreamHandler()], debug=debug)


def _log_to(handlers: Sequence[logging.Handler], *, debug: bool) -> None:
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO,
        format="%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s",
        handlers=handlers,
        force=True,
    )
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
