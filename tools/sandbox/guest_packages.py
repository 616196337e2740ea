"""What code in the sandbox may import beside the standard library: a folder of its own.

It lies apart from the server's environment, one subfolder for each Python version, and is mounted
read-only. `counterpoint sandbox install` fills it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.sandbox.interpreter import Interpreter
from tools.sandbox.sandbox import SandboxError

USEFUL = (
    "ipython>=9",
    "matplotlib>=3.10",
    "numpy>=2",
    "openpyxl>=3.1",
    "pandas>=2.2",
    "pyarrow>=20",
    "pypdf>=5",
    "scikit-learn>=1.6",
    "scipy>=1.15",
    "sympy>=1.13",
)
FONTS = ".fonts"
"""Where matplotlib's list of fonts is kept, which takes it seconds to make."""


def of(folder: Path | None, python: Interpreter) -> Path | None:
    """The packages for this Python; None where there are none."""
    if folder is None:
        return None
    path = folder / f"python{python.version}"
    return path if (path / "IPython").is_dir() else None


async def install(folder: Path, python: Interpreter, *, packages: Sequence[str]) -> Path:
    """Install ``packages`` for ``python`` with pip; where they lie. Takes minutes.

    Raises:
        SandboxError: pip failed; its last words are in the message.
    """
    target = folder / f"python{python.version}"
    target.mkdir(parents=True, exist_ok=True)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python.executable),
        "--disable-pip-version-check",
        "install",
        "--quiet",
        "--root-user-action=ignore",
        "--upgrade",
        "--only-binary",
        ":all:",
        "--target",
        str(target),
        *packages,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    told = (await process.stdout.read()).decode("utf-8", "replace").strip()
    if await process.wait() != 0:
        raise SandboxError(f"pip could not install them: {told.rpartition(chr(10))[2]}")
    return target
