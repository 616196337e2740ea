"""The edge of the program: help at once, every command told, nothing raw on the screen."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest

from server import cli, settings
from server.commands import key
from server.commands.options import Invocation
from server.exits import CommandFailed, Exit
from server.sections import CallerRole


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


def test_the_lines_that_a_key_comes_with_are_a_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--name", "ann", "--tenant", "acme", "--role", "user", "--role", "operator")
    assert cli.run(["key", *options]) == Exit.OK
    said = capsys.readouterr().out
    toml = "[[keys]]" + said.partition("[[keys]]")[2].partition("\n\n")[0] + "\n"
    (tmp_path / settings.Settings.CONFIG_FILE).write_text(toml, "utf-8")
    monkeypatch.chdir(tmp_path)
    (known,) = settings.load().keys
    key = said.partition("cp-")[2].split()[0]
    assert hashlib.sha256(f"cp-{key}".encode()).hexdigest() == known.sha256
    assert (known.name, known.tenant) == ("ann", "acme")
    assert known.roles == (CallerRole.USER, CallerRole.OPERATOR)


def test_a_key_for_a_tenant_of_no_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["key", "--tenant", "a:b"]) == Exit.USAGE
    assert "--tenant: letters" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["models", "list"], ["models", "pull", "embedder"]])
def test_a_bad_setting_is_a_wrong_usage_of_every_command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COUNTERPOINT_PORT", "many")
    assert cli.run(arguments) == Exit.USAGE
    assert "port: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "variables", "words"),
    [
        (["api"], {}, ("COUNTERPOINT_REDIS_URL", "COUNTERPOINT_KNOWLEDGE_URL")),
        (["worker"], {}, ("COUNTERPOINT_REDIS_URL", "COUNTERPOINT_QDRANT_URL")),
        (["api", "--keep-documents"], {}, ("COUNTERPOINT_REDIS_URL",)),
        (["worker"], {"REDIS_URL": "redis://h"}, ("QDRANT_URL", "COUNTERPOINT_KNOWLEDGE_URL")),
        (["worker"], {"KNOWLEDGE_URL": "http://h"}, ("COUNTERPOINT_REDIS_URL",)),
        (
            ["api", "--keep-documents"],
            {"REDIS_URL": "redis://h", "KNOWLEDGE_URL": "http://h"},
            ("--keep-documents",),
        ),
        (["up"], {"QDRANT_URL": "http://h", "KNOWLEDGE_URL": "http://h"}, ("knowledge_url:",)),
    ],
)
def test_processes_apart_say_what_they_have_to_share(
    arguments: list[str],
    variables: dict[str, str],
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("COUNTERPOINT_DATA_DIR", str(tmp_path / "data"))
    for name, value in variables.items():
        monkeypatch.setenv(f"COUNTERPOINT_{name}", value)
    assert cli.run(arguments) == Exit.USAGE
    said = capsys.readouterr().err
    assert all(word in said for word in words)
    assert not (tmp_path / "data").exists()


def test_a_worker_keeps_nothing_in_a_data_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("DATA_DIR", "/proc/nowhere"),
        ("REDIS_URL", "redis://127.0.0.1:9"),
        ("QDRANT_URL", "http://127.0.0.1:9"),
    ):
        monkeypatch.setenv(f"COUNTERPOINT_{name}", value)
    assert cli.run(["worker"]) == Exit.UNAVAILABLE
    assert "redis_url: redis://127.0.0.1:9 cannot be reached" in capsys.readouterr().err
