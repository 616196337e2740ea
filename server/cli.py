"""The command line: `counterpoint`. Commands are imported when they are called."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from server.commands.options import Invocation, debug
from server.exits import CommandFailed, Exit
from server.importing import uncollected


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A command: where it is defined, and its line in the help, which imports none of them."""

    module: str
    help: str
    name: str = "command"


COMMANDS = {
    "up": _Entry(module="up", help="Start Counterpoint: API, worker and all that they need."),
    "down": _Entry(module="down", help="Stop the Counterpoint of this data folder."),
    "api": _Entry(module="api", help="Start the API alone, one of several."),
    "worker": _Entry(module="worker", help="Start a worker alone, one of several."),
    "ask": _Entry(module="ask", help="Ask the team a question, and see it at work."),
    "ingest": _Entry(module="ingest", help="Make files and folders searchable."),
    "search": _Entry(module="search", help="Search the documents, without any model."),
    "documents": _Entry(module="documents", help="List, show and delete documents.", name="group"),
    "runs": _Entry(module="runs", help="Why a run is where it is; set it going.", name="group"),
    "trace": _Entry(module="trace", help="What a run did and when, as a waterfall."),
    "threads": _Entry(module="threads", help="See threads; let go of one.", name="group"),
    "policy": _Entry(module="policy", help="What the rules say to a call.", name="group"),
    "approvals": _Entry(module="approvals", help="What waits for you; decide it.", name="group"),
    "audit": _Entry(module="audit", help="Who asked, allowed and did what.", name="group"),
    "doctor": _Entry(module="doctor", help="Check each part, and say how to mend it."),
    "key": _Entry(module="key", help="Make an API key and its hash."),
    "models": _Entry(module="models", help="Fetch, choose, serve, measure models.", name="group"),
    "sandbox": _Entry(module="sandbox", help="Run code as the coder would.", name="group"),
}


_HALVES = "surrogates not allowed"
_NO_UTF8 = (
    "a word or the name of a file that you gave is not written in UTF-8; set the terminal to UTF-8,"
    " or rename the file"
)


class _Commands(click.Group):
    """Loads a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        with uncollected():
            module = importlib.import_module(f"server.commands.{entry.module}")
        command: click.Command = getattr(module, entry.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="counterpoint", prog_name="counterpoint")
@debug
def group() -> None:
    """A self-hosted team of LLM agents that answers from your documents, with sources."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and end the process with its exit code (``server.exits.Exit``)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Not every terminal has every letter, nor every file name only letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command; whatever it raises becomes a line for people and an exit code."""
    invocation = Invocation()
    try:
        ended: Any = group.main(
            args=list(arguments), prog_name="counterpoint", standalone_mode=False, obj=invocation
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; Python would complain of it again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.FAILED
    except Exception as error:  # noqa: BLE001 - the edge of the program
        return _told(error, invocation=invocation)
    return int(ended) if isinstance(ended, int) else Exit.OK


def _told(error: Exception, *, invocation: Invocation) -> int:
    from server import logs

    secrets = logs.secrets_here()
    if invocation.debug:
        click.echo(logs.clean("".join(traceback.format_exception(error)), secrets), err=True)
    code = error.code if isinstance(error, CommandFailed) else _foreseen(error)
    said = str(error)
    if code is None and (full := _full(error)) is not None:
        code, said = Exit.UNAVAILABLE, full
    if code is None and isinstance(error, UnicodeEncodeError) and error.reason == _HALVES:
        code, said = Exit.USAGE, _NO_UTF8
    if code is not None:
        for line in logs.clean(said, secrets).splitlines():
            click.echo(f"error: {line}", err=True)
        return code
    where = _logged(error, invocation=invocation)
    click.echo(
        logs.clean(
            f"error: something failed that should not ({type(error).__name__}: {error}); {where}",
            secrets,
        ),
        err=True,
    )
    return Exit.FAILED


def _foreseen(error: Exception) -> Exit | None:
    """The exit code of an error whose message is for people; None for any other."""
    # Late, because each is a part of something heavy.
    from httpx import ProxyError
    from redis.exceptions import ConnectionError as RedisConnectionError

    from models.errors import ModelError
    from server.lock import DataFolderBusy, DataFolderUnusable
    from server.redis_check import RedisUnusable
    from server.redis_server import RedisServerError
    from server.serve import ListenError
    from server.settings import ConfigurationError
    from tools.retrieval.errors import RetrievalError

    match error:
        case ConfigurationError() | ListenError() | DataFolderBusy() | DataFolderUnusable():
            return Exit.USAGE
        case (
            ModelError()
            | RedisServerError()
            | RedisUnusable()
            | RetrievalError()
            | RedisConnectionError()
            | ProxyError()
        ):
            return Exit.UNAVAILABLE
        case _:
            return None


def _full(error: Exception) -> str | None:
    """What to do where a disk or Redis has no room or no voice left; None for any other error."""
    from server.errors import fault_of

    fault = fault_of(error)
    return None if fault is None or fault.status_code not in {503, 507} else str(fault.detail)


def _logged(error: Exception, *, invocation: Invocation) -> str:
    import logging

    from server import logs

    if invocation.data_dir is None or not invocation.data_dir.is_dir():
        return "run it again with --debug to see where"
    try:
        path = logs.configure(invocation.data_dir, secrets=logs.secrets_here())
    except OSError:
        return "run it again with --debug to see where"
    logging.getLogger(__name__).error("a command failed", exc_info=error)
    return f"the log says where: {path}"


if __name__ == "__main__":
    main()
