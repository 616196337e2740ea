"""Options that many commands share, and the configuration that they lead to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Invocation:
    """One call of the program; what its edge has to know when the call fails."""

    debug: bool = False
    data_dir: Path | None = None


def _debug(context: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001
    invocation = context.find_object(Invocation)
    if invocation is not None and value:
        invocation.debug = True


def debug(command: F) -> F:
    """``--debug``: a traceback in the terminal, and a talkative log."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        callback=_debug,
        help="Show tracebacks and log more.",
    )(command)


def data_dir(command: F) -> F:
    """``--data-dir``."""
    return click.option(
        "--data-dir",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where everything is kept.  [COUNTERPOINT_DATA_DIR]",
    )(command)


def url(command: F) -> F:
    """``--url``, beside ``--data-dir``."""
    return data_dir(
        click.option("--url", help="The server to talk to; default: the one of the data folder.")(
            command
        )
    )


def collection(command: F) -> F:
    """``--collection``."""
    return click.option("--collection", help="Collection of documents.  [COUNTERPOINT_COLLECTION]")(
        command
    )


def as_json(command: F) -> F:
    """``--json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="JSON on standard output, all else on stderr."
    )(command)


def invocation() -> Invocation:
    """The call that goes on."""
    found = click.get_current_context().find_object(Invocation)
    return found if found is not None else Invocation()
