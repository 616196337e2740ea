"""What the sandbox is made of, and what an operator reads where it cannot be made."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.sandbox.conftest import required
from tools.sandbox import interpreter, memory
from tools.sandbox.find import Unavailable, open_sandbox
from tools.sandbox.sandbox import Limits, Sandbox

CODE = "import sqlite3, ctypes, sys; print(sys.version_info[:2])"


async def _works(sandbox: Sandbox | Unavailable) -> str:
    opened = required(sandbox)
    execution = await opened.run(CODE)
    await opened.close()
    assert execution.stderr == ""
    return execution.stdout


@pytest.mark.parametrize("binary", interpreter.find_bwrap(None), ids=str)
async def test_every_bubblewrap_here_serves(binary: Path) -> None:
    assert (await _works(await open_sandbox(bwrap=binary))).startswith("(3, ")


@pytest.mark.parametrize("own", interpreter.interpreters(), ids=lambda each: str(each.executable))
async def test_every_python_here_serves(
    own: interpreter.Interpreter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "interpreters", lambda: [own])
    major, minor = own.version.split(".")
    assert await _works(await open_sandbox()) == f"({major}, {minor})\n"


@pytest.fixture
def private(tmp_path: Path) -> Iterator[Path]:
    """A folder that only its owner enters, as root's home is."""
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


async def test_a_bubblewrap_in_a_private_folder_serves(private: Path) -> None:
    """As root, the user that code runs as does not reach it: it is copied, then removed."""
    binaries = interpreter.find_bwrap(None)
    if not binaries:
        pytest.skip("no bwrap: apt-get install bubblewrap")
    source = binaries[-1]
    package = source.parent.parent
    if package.with_name(package.name + ".libs").is_dir():
        shutil.copytree(package, private / package.name)
        shutil.copytree(package.with_name(package.name + ".libs"), private / f"{package.name}.libs")
        hidden = private / source.relative_to(package.parent)
    else:
        hidden = Path(shutil.copy2(source, private / "bwrap"))
    before = _copies()
    assert (await _works(await open_sandbox(bwrap=hidden))).startswith("(3, ")
    assert _copies() <= before


def _copies() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("counterpoint-sandbox-*"))


async def test_a_missing_binary_is_named_with_its_remedy(tmp_path: Path) -> None:
    found = await open_sandbox(bwrap=tmp_path / "bwrap")
    assert isinstance(found, Unavailable)
    assert found.reason == f"{tmp_path / 'bwrap'} is not a file"
    assert "apt-get install bubblewrap" in found.remedy


async def test_no_bubblewrap_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "find_bwrap", lambda configured: [])
    found = await open_sandbox()
    assert isinstance(found, Unavailable)
    assert "not found" in found.reason


async def test_a_bubblewrap_that_fails_is_quoted(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1")
    broken.chmod(0o755)
    found = await open_sandbox(bwrap=broken)
    assert isinstance(found, Unavailable)
    assert found.reason == "bwrap: No permissions to create new namespace"
    assert found.remedy


async def test_root_without_a_user_to_drop_to_runs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreter, "is_root", lambda: True)
    monkeypatch.setattr(interpreter, "unprivileged_ids", lambda count: [])
    found = await open_sandbox()
    assert isinstance(found, Unavailable)
    assert "unprivileged user" in found.reason


def test_the_ids_to_drop_to_are_not_roots() -> None:
    ids = interpreter.unprivileged_ids(2)
    assert 0 not in ids
    assert os.getuid() not in ids


def test_a_folder_closed_to_others_hides_what_is_in_it(tmp_path: Path) -> None:
    file = tmp_path / "inner" / "file"
    file.parent.mkdir()
    file.touch()
    file.parent.chmod(stat.S_IRWXU)
    assert not interpreter.anybody_may_read(file)
    assert interpreter.anybody_may_read(Path("/usr/bin/env"))


async def test_no_control_group_is_left_behind(sandbox: Sandbox) -> None:
    groups = memory.find_control_groups(Limits())
    if groups is None:
        pytest.skip("this user can make no control group")
    await sandbox.run("1")
    left = [path for parent in groups.parents for path in parent.glob("counterpoint-sandbox-*")]
    assert [path for path in left if f"-{os.getpid()}-" in path.name] == []
