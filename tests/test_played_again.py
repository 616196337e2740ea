"""What failed is played once more, alone, and only that decides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.__main__ import MOST, failures, main

UNSTEADY = """
from pathlib import Path

def test_unsteady():
    seen = Path(__file__).with_name("seen")
    was_there = seen.exists()
    seen.touch()
    assert was_there

def test_steady():
    pass
"""
WRONG = """
import pytest

@pytest.mark.parametrize("n", range({many}))
def test_wrong(n):
    assert 0
"""
WAITING = """
import signal

def test_waiting():
    try:
        print("begun", flush=True)
        signal.pause()
    finally:
        print("tidied", flush=True)
"""


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose tests have no configuration but their own, and no plugins to load."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_that_passes_alone_is_told_and_fails_nothing(
    alone: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (alone / "test_it.py").write_text(UNSTEADY, encoding="utf-8")
    assert main([]) == 0
    told = capfd.readouterr().out
    assert "UNSTEADY, passed only when alone: test_it.py::test_unsteady" in told


def test_one_that_fails_twice_fails(alone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (alone / "test_it.py").write_text(WRONG.format(many=1), encoding="utf-8")
    assert main([]) == 1
    assert "UNSTEADY" not in capfd.readouterr().out


def test_many_are_not_played_again(alone: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (alone / "test_it.py").write_text(WRONG.format(many=MOST + 1), encoding="utf-8")
    assert main([]) == 1
    assert "Once more" not in capfd.readouterr().out


def test_one_that_is_told_to_end_lets_its_tests_tidy_up(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (alone / "test_it.py").write_text(WAITING, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    command = [sys.executable, "-m", "tests", "-s", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as suite:
        assert suite.stdout is not None
        assert "begun" in suite.stdout.readline()
        suite.terminate()
        assert "tidied" in suite.stdout.read()
        assert suite.wait() == pytest.ExitCode.INTERRUPTED


def test_a_cache_without_failures_names_none(tmp_path: Path) -> None:
    assert failures(tmp_path) == []
