"""Tables on standard output: as wide as the window, or as they need in a file or a pipe."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

_FILE_WIDTH = 240


def show(table: Table) -> None:
    """Print it."""
    console = Console(markup=False, highlight=False)
    if not console.is_terminal:
        # Nobody's window is narrow in a file.
        console = Console(markup=False, highlight=False, width=_FILE_WIDTH)
    console.print(table)
