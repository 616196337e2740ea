"""The edge of the program: help at once, every command told, nothing raw on the screen."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from server import cli
from server.commands import key
from server.commands.options import Invocation
from server.exits import CommandFailed, Exit


def test_the_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from server import cli; cli.run(['--help']);"
        "heavy = {'pydantic', 'fastapi', 'redis', 'langgraph', 'httpx', 'rich', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip() == "[]"
    assert all(f"  {name} " in ended.stdout for name in cli.COMMANDS)


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_is_there_and_speaks_json(name: str) -> None:
    context = click.Context(cli.group)
    command = cli.group.get_command(context, name)
    assert command is not None
    ends = command.commands.values() if isinstance(command, click.Group) else [command]
    for end in ends:
        assert "--json" in {option for one in end.params for option in one.opts}, end.name


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception, data_dir: Path) -> None:
    @click.command()
    @click.pass_obj
    def command(invocation: Invocation) -> None:
        invocation.data_dir = data_dir
        raise error

    monkeypatch.setattr(key, "command", command)


def test_what_nobody_foresaw_is_one_line_and_a_traceback_in_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failing(monkeypatch, ZeroDivisionError("by nought"), tmp_path)
    assert cli.run(["key"]) == Exit.FAILED
    (line,) = capsys.readouterr().err.splitlines()
    assert "by nought" in line
    log = tmp_path / "counterpoint.log"
    assert str(log) in line
    assert "Traceback" in log.read_text()


def test_a_command_says_its_own_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    failing(monkeypatch, CommandFailed("not today", code=Exit.UNAVAILABLE), tmp_path)
    assert cli.run(["key"]) == Exit.UNAVAILABLE
    assert capsys.readouterr().err == "error: not today\n"


def test_a_wrong_option_is_a_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["up", "--nonsense"]) == Exit.USAGE
    assert "--nonsense" in capsys.readouterr().err


def test_a_key_fits_the_hash_that_is_shown_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["key", "--json"]) == Exit.OK
    first = json.loads(capsys.readouterr().out)
    assert hashlib.sha256(first["key"].encode()).hexdigest() == first["sha256"]
    cli.run(["key", "--json"])
    assert json.loads(capsys.readouterr().out)["key"] != first["key"]
