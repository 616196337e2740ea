"""An API process of the tests: the real `counterpoint api`, in a process forked from one that has
its modules already.
"""

from __future__ import annotations

import os
from typing import Any

from server import cli


def main(spec: dict[str, Any]) -> int:
    """Serve until SIGTERM. What it prints goes where it logs: stdout is the nursery's."""
    os.dup2(2, 1)
    os.environ.update(spec["environment"])
    # Nobody searches here: each keeps documents of its own, so that none waits for another.
    words = ["api", "--keep-documents", "--port", str(spec["port"])]
    return cli.run([*words, "--data-dir", spec["data_dir"]])
