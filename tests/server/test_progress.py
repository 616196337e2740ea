"""What a terminal is told while something goes on."""

from __future__ import annotations

import errno
import io
from collections.abc import Callable

import pytest
from rich.console import Console

from models.progress import Progress
from server.progress import BarProgress, LineProgress


class _Closed(io.StringIO):
    def write(self, text: str, /) -> int:
        raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("made", [BarProgress, LineProgress])
def test_a_terminal_that_has_closed_ends_nothing(made: Callable[[Console], Progress]) -> None:
    made(Console(file=_Closed())).note("Stopping")
