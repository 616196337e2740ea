"""`python -m scripts.stack`, where it does not get as far as starting anything."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.stack import __main__ as command
from server import lock


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("COUNTERPOINT_") or name == "OPENAI_API_KEY":
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stack", "--data-dir", str(tmp_path / "data")])


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("COUNTERPOINT_KNOWLEDGE_URL", "http://h:1", "knowledge_url: the stack keeps the"),
        ("COUNTERPOINT_PROT", "1", "COUNTERPOINT_PROT: no such setting"),
    ],
)
def test_a_setting_that_cannot_be_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv(variable, value)
    assert command.main() == 2
    assert f"error: {said}" in capsys.readouterr().err


def test_a_folder_has_one_stack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lock.owned(tmp_path / "data"):
        assert command.main() == 2
    assert "is in use by another Counterpoint" in capsys.readouterr().err


def test_what_is_not_installed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    assert command.main() == 3
    assert "not on this machine: redis-server, haproxy" in capsys.readouterr().err


def test_the_models_key_is_made_once_for_us_alone(tmp_path: Path) -> None:
    path = command._key(tmp_path)
    key = path.read_text()
    assert len(key) >= 32
    assert path.stat().st_mode & 0o077 == 0
    assert command._key(tmp_path).read_text() == key
