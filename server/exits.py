"""How commands end: the exit codes that scripts rely on, and the failure that carries one."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    """The run, or everything that the command was asked for, failed."""
    USAGE = 2
    """A wrong argument or setting: nothing was begun."""
    UNAVAILABLE = 3
    """Something needed cannot be had: a model, Redis, the documents, a server."""
    PARTLY = 4
    """Some files of an ingest could not be read; the others were."""
    INTERRUPTED = 130
    """Stopped by Ctrl-C or SIGTERM before the end."""


class CommandFailed(Exception):  # noqa: N818 - it says what happened
    """Ends a command; the message is one line for people, or empty where all is said."""

    def __init__(self, message: str = "", *, code: Exit = Exit.FAILED) -> None:
        super().__init__(message)
        self.code = code
