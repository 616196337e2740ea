"""A command that meets a full disk or a full Redis says what to do."""

from __future__ import annotations

import errno

import pytest
from redis.exceptions import OutOfMemoryError

from server import cli
from server.exits import Exit


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "free some space"),
        (OSError(errno.EMFILE, "Too many open files"), "ulimit -n"),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'"), "maxmemory"),
    ],
    ids=["disk", "files", "redis"],
)
def test_what_is_full_is_no_failure_of_ours(
    error: Exception,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fails(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.group, "main", fails)
    assert cli.run(["up"]) == Exit.UNAVAILABLE
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1
