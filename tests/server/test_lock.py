"""The data folder's lock: who may not have it is told why, in one line."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import pytest

from server import lock


def test_a_lock_of_another_user_is_told_as_that_and_not_as_a_folder_without_an_owner(
    tmp_path: Path,
) -> None:
    """`down` said that no Counterpoint owns the folder, whose owner it was not allowed to see."""
    (tmp_path / lock.LOCK).mkdir()
    with pytest.raises(lock.DataFolderUnusable, match="lock cannot be used"), lock.owned(tmp_path):
        pass
    with pytest.raises(lock.DataFolderUnusable, match="lock cannot be used"):
        lock.owner(tmp_path)
    assert lock.owner(tmp_path / "none") is None


def test_a_file_system_without_locks_is_not_told_as_another_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.raises(lock.DataFolderUnusable, match="No locks available"), lock.owned(tmp_path):
        pass
