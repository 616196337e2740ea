"""Logging, configured by commands alone: a file in the data folder that rotates, or stderr.

Whatever is logged, by us or by a library, goes the same way: the ids of the run that is worked on
are added, secrets are taken out, and it is written as a line for people or as JSON.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Collection, MutableMapping, Sequence
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

import orjson
import structlog

from guardrails.redaction import SECRET, Redactor
from server import lock, secret_values
from server.settings import Settings, environment, load

FILE = "counterpoint.log"
Style = Literal["text", "json"]

_LARGEST = 5_000_000
_KEPT = 2
_LONGEST = 20_000
_REMOVED = "[removed]"
_UNREADABLE = "(a message that could not be looked through for secrets is left out)"
# These tell every request and every poll.
_CHATTY = (
    *("docket", "httpx", "httpx2", "httpcore", "uvicorn", "openai", "aiohttp"),
    *("asyncio", "langgraph", "markdown_it"),
)
_OURS = frozenset({"timestamp", "level", "logger", "process", "event", "exception"})

_Fields = MutableMapping[str, Any]


def configure(
    data_dir: Path,
    *,
    debug: bool = False,
    style: Style = "text",
    secrets: Collection[str] = (),
) -> Path:
    """Write what is logged to a file that only its owner reads; with ``debug`` also to stderr."""
    path = data_dir / FILE
    handlers: list[logging.Handler] = [
        _OwnersFile(path, maxBytes=_LARGEST, backupCount=_KEPT, encoding="utf-8")
    ]
    if debug:
        handlers.append(logging.StreamHandler())
    _log_to(handlers, debug=debug, style=style, secrets=secrets)
    return path


class _OwnersFile(RotatingFileHandler):
    """A file that rotates, of which every new one is its owner's alone as well."""

    def _open(self) -> TextIOWrapper:
        Path(self.baseFilename).touch(mode=0o600)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging names it
        # A full disk is told once, by what it has ended, not with a traceback for each line.
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def configure_as_set(settings: Settings, *, debug: bool = False, file: bool = True) -> None:
    """Log as the settings say, to the file of the data folder or to standard error, and keep what
    is secret among them and in the environment out of it. Raises DataFolderUnusable."""
    secrets = secret_values.of(settings, environment())
    if file:
        try:
            configure(settings.data_dir, debug=debug, style=settings.log_format, secrets=secrets)
        except OSError as error:
            raise lock.unusable(settings.data_dir / FILE, error) from error
    else:
        to_stderr(debug=debug, style=settings.log_format, secrets=secrets)


def secrets_here() -> Sequence[str]:
    """All that is secret in this process's configuration, or where that is wrong in its
    environment, the longest first."""
    try:
        configured: Settings | None = load()
    except Exception:  # noqa: BLE001 - it is asked for while another failure is told
        configured = None
    return longest_first(secret_values.of(configured, environment()))


def longest_first(secrets: Collection[str]) -> Sequence[str]:
    """In the order to take them out: one may hold another."""
    return sorted(secrets, key=len, reverse=True)


def to_stderr(*, debug: bool = False, style: Style = "text", secrets: Collection[str] = ()) -> None:
    """Write what is logged to standard error: several processes cannot rotate one file."""
    _log_to([logging.StreamHandler()], debug=debug, style=style, secrets=secrets)


def _log_to(
    handlers: Sequence[logging.Handler], *, debug: bool, style: Style, secrets: Collection[str]
) -> None:
    formatter = formatter_of(style, secrets=secrets)
    for handler in handlers:
        handler.setFormatter(formatter)
    logging.basicConfig(
        level=logging.DEBUG if debug else logging.INFO, handlers=handlers, force=True
    )
    logging.captureWarnings(capture=True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


def formatter_of(style: Style, *, secrets: Collection[str] = ()) -> logging.Formatter:
    """What makes a line of a record of the standard library's: its ids, no secrets."""
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.CallsiteParameterAdder(
            [structlog.processors.CallsiteParameter.PROCESS]
        ),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            without(secrets),
            _json if style == "json" else _text,
        ],
    )


def without(secrets: Collection[str]) -> Callable[[Any, str, _Fields], _Fields]:
    """Takes ``secrets`` out of all that a line says, and what looks like one."""
    known = longest_first(secrets)

    def cleaned(_: Any, __: str, fields: _Fields) -> _Fields:
        return {name: clean(value, known) for name, value in fields.items()}

    return cleaned


def clean(value: Any, secrets: Sequence[str] = ()) -> Any:
    """A value of a line without secrets; what can be no text stays as it is."""
    if value is None or isinstance(value, bool | int | float):
        return value
    try:
        text = value if isinstance(value, str) else repr(value)
        for secret in secrets:
            text = text.replace(secret, _REMOVED)
        # Cut before, for the time it takes, and after, where a cut may have halved a secret.
        return _cut(Redactor(kinds=SECRET).redact(_cut(text, _LONGEST * 10)), _LONGEST)
    except Exception:  # noqa: BLE001 - logging must not fail, and not show what it did not look at
        return _UNREADABLE


def _cut(text: str, longest: int) -> str:
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def _json(_: Any, __: str, fields: _Fields) -> str:
    line = {
        "time": fields.pop("timestamp", ""),
        "level": fields.pop("level", ""),
        "logger": fields.pop("logger", ""),
        "message": fields.pop("event", ""),
        **fields,
    }
    return orjson.dumps(line, default=repr, option=orjson.OPT_NON_STR_KEYS).decode()


def _text(_: Any, __: str, fields: _Fields) -> str:
    """A line for people; what a message has behind its first line cannot look like another one."""
    beside = "".join(f" {name}={fields[name]}" for name in sorted(fields.keys() - _OURS))
    head = (
        f"{fields.get('timestamp', '')} {str(fields.get('level', '')).upper()} "
        f"{fields.get('process', '')} {fields.get('logger', '')}: {fields.get('event', '')}{beside}"
    )
    lines = [head.replace("\r", " ").replace("\n", "\n    ")]
    if fields.get("exception"):
        lines.append(str(fields["exception"]))
    return "\n".join(lines)
