"""What is logged: where, in which form, and without what."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from graphs import events
from server import logs, secret_values
from server.runs.record import RunRecord
from server.sections import ModelSettings
from server.settings import Settings
from server.telemetry.log_context import LogContext

SECRET = "the-value-of-a-configured-key"
TOKEN = "ghp_" + "a1B2c3D4e5" * 4


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as it was, and no ids of runs."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    for handler in root.handlers:
        if handler not in handlers:
            handler.close()
    root.handlers, root.level = handlers, level
    logging.captureWarnings(capture=False)
    structlog.contextvars.clear_contextvars()


def line(style: logs.Style, message: str, *args: object, error: bool = False) -> str:
    record = logging.LogRecord(
        "server.x",
        logging.WARNING,
        __file__,
        1,
        message,
        args,
        sys.exc_info() if error else None,
    )
    return logs.formatter_of(style, secrets={SECRET}).format(record)


def test_the_file_is_its_owners_alone_and_json_where_that_is_set(tmp_path: Path) -> None:
    path = logs.configure(tmp_path, style="json", secrets={SECRET})
    logging.getLogger("server.x").warning("run %s says %s", "r-1", SECRET)
    logging.getLogger("httpx").info("GET http://provider/?key=%s", SECRET)
    assert path.stat().st_mode & 0o777 == 0o600
    (said,) = path.read_text().splitlines()
    told = json.loads(said)
    assert told["message"] == "run r-1 says [removed]"
    assert (told["level"], told["logger"]) == ("warning", "server.x")
    assert datetime.fromisoformat(told["time"]).tzinfo == UTC


def test_the_file_that_follows_a_full_one_is_its_owners_alone_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_LARGEST", 500)
    path = logs.configure(tmp_path)
    for number in range(10):
        logging.getLogger("server.x").warning("run %d %s", number, "x" * 200)
    modes = {one.name: one.stat().st_mode & 0o777 for one in tmp_path.iterdir()}
    assert modes == {path.name: 0o600, f"{path.name}.1": 0o600, f"{path.name}.2": 0o600}


def test_lines_of_a_run_have_its_ids_whoever_logs_them() -> None:
    record = RunRecord(run_id="run-1", thread_id="thread-1", tenant="acme")
    started = events.RunStarted(run_id="run-1", thread_id="thread-1")
    LogContext(lambda run_id: f"trace-of-{run_id}").hear(record, started, at=0.0)
    told = json.loads(line("json", "a library says so"))
    assert (told["run_id"], told["thread_id"], told["tenant"], told["trace_id"]) == (
        *("run-1", "thread-1", "acme"),
        "trace-of-run-1",
    )
    assert "run_id=run-1" in line("text", "a library says so")


@pytest.mark.parametrize("style", ["text", "json"])
def test_secrets_are_in_no_message_argument_or_traceback(style: logs.Style) -> None:
    try:
        raise ValueError(f"{SECRET} and {TOKEN} at redis://user:hunter-22@host/0")
    except ValueError:
        said = line(style, f"token {TOKEN}, %s, %r", SECRET, {"k": SECRET}, error=True)
    for secret in (SECRET, TOKEN, "hunter-22"):
        assert secret not in said
    assert "ValueError" in said


def test_a_message_cannot_pass_for_another_line() -> None:
    said = line("text", "first\n2026-01-01 ERROR 1 server.x: forged\r\nmore")
    assert [one[:4] for one in said.splitlines()[1:]] == ["    ", "    "]


@given(st.text(max_size=200))
def test_any_text_can_be_logged(text: str) -> None:
    assert isinstance(json.loads(line("json", "%s", text))["message"], str)
    assert "server.x" in line("text", "%s", text)


def test_what_is_secret_is_found_in_settings_urls_and_variables(tmp_path: Path) -> None:
    configured = Settings(
        data_dir=tmp_path,
        model_key=SecretStr("key-of-the-model"),
        redis_url="redis://:p%40ssw0rd-x@redis:6379/0",
        models={
            "big": ModelSettings(url="http://u:urlpass@m/v1", model="m", key=SecretStr(SECRET))
        },
    )
    variables = {
        "AWS_SECRET_ACCESS_KEY": "value-of-aws",
        "DATABASE_URL": "postgres://me:db-pass-1@db/x",
        "PATH": "/usr/bin",
        "SHORT_KEY": "abc",
    }
    assert secret_values.of(configured, variables) == {
        *("key-of-the-model", "p%40ssw0rd-x", "p@ssw0rd-x", "urlpass", SECRET),
        *("value-of-aws", "db-pass-1"),
    }


def test_a_failed_command_shows_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import click

    from server import cli
    from server.commands import key
    from server.commands.options import Invocation

    @click.command()
    @click.pass_obj
    def failing(invocation: Invocation) -> None:
        invocation.data_dir, invocation.debug = tmp_path, True
        raise ZeroDivisionError(f"by {SECRET}")

    monkeypatch.setenv("COUNTERPOINT_MODEL_KEY", SECRET)
    monkeypatch.setattr(key, "command", failing)
    cli.run(["key"])
    shown = capsys.readouterr().err + (tmp_path / logs.FILE).read_text()
    assert "ZeroDivisionError" in shown
    assert SECRET not in shown
