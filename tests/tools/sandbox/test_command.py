"""`counterpoint sandbox`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from server.commands.sandbox import group
from tools.sandbox import abuse
from tools.sandbox.sandbox import Sandbox


@pytest.fixture
def cli(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    """The command line, where there is a sandbox and no configuration."""
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def test_code_from_standard_input_is_run_and_printed(cli: CliRunner) -> None:
    result = cli.invoke(group, ["run", "-"], input="print('hi')\n6 * 7")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "hi\n42\n", "")


def test_code_that_fails_ends_with_1(cli: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("1 / 0")
    result = cli.invoke(group, ["run", str(file)])
    assert result.exit_code == 1
    assert result.stderr.endswith("division by zero\n[failed with exit code 1]\n")


def test_json_has_the_whole_execution(cli: CliRunner) -> None:
    result = cli.invoke(group, ["run", "--json"], input="1")
    told = json.loads(result.stdout)
    assert (told["outputs"][0]["text"], told["outcome"], told["exit_code"]) == ("1", "finished", 0)


def test_files_that_the_code_writes_come_out(cli: CliRunner, tmp_path: Path) -> None:
    code = "import os; os.mkdir('d'); n = open('d/a.csv', 'w').write('1,2')"
    result = cli.invoke(group, ["run", "--out", "made"], input=code)
    assert result.exit_code == 0
    assert (tmp_path / "made" / "d" / "a.csv").read_text() == "1,2"


def test_a_missing_binary_is_one_line(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUNTERPOINT_BUBBLEWRAP", "/nowhere/bwrap")
    result = cli.invoke(group, ["run"], input="1")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: no sandbox here: /nowhere/bwrap is not a file.")


def test_check_says_what_holds(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = [attack for attack in abuse.ATTACKS if attack.name == "reach the network"]
    monkeypatch.setattr("server.commands.sandbox.ATTACKS", quick)
    told = json.loads(cli.invoke(group, ["check", "--json"]).stdout)
    assert told["ok"]
    assert [(attack["name"], attack["holds"]) for attack in told["attacks"]] == [
        ("reach the network", True),
        ("reach the network, in a session", True),
    ]
    assert "network" in {guarantee["name"] for guarantee in told["guarantees"]}
    assert {promise["holds"] for promise in told["promises"]} == {True}, told["promises"]
    assert told["verdict"].startswith("bubblewrap holds off all 2 attacks")


def test_check_ends_with_1_where_an_attack_gets_through(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    through = abuse.Attack(name="always through", code="1", holds=lambda execution, limits: False)
    monkeypatch.setattr("server.commands.sandbox.ATTACKS", [through])
    result = cli.invoke(group, ["check"])
    assert result.exit_code == 1
    assert "NO" in result.stdout
    assert "run no code that is not yours" in result.stdout
