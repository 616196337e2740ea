"""What code in the sandbox may import beside the standard library: a folder of its own.

It lies apart from the server's environment, one subfolder for each Python version, and is mounted
read-only. `counterpoint sandbox install` fills it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.sandbox.interpreter import Interpreter, anybody_may_read, is_root
from tools.sandbox.sandbox import Outcome, Sandbox, SandboxError

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
_FIND_FONTS = """
import matplotlib, matplotlib.font_manager, pathlib, shutil
for path in pathlib.Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
    shutil.copy(path, path.name)
"""


def of(folder: Path | None, python: Interpreter, *, users: Sequence[int]) -> Path | None:
    """The packages for this Python; None where there are none, or none that ``users`` (those to
    drop to, if any) can reach."""
    if folder is None:
        return None
    path = (folder / f"python{python.version}").resolve()
    if not (path / "IPython").is_dir():
        return None
    return path if not users or anybody_may_read(path) else None


async def install(folder: Path, python: Interpreter, *, packages: Sequence[str]) -> Path:
    """Install ``packages`` for ``python`` with pip, which talks to the terminal; where they lie.

    Raises:
        SandboxError: pip failed.
        OSError: the folder cannot be written.
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
        "--progress-bar=on",
        "--root-user-action=ignore",
        "--upgrade",
        "--only-binary=:all:",
        f"--target={target}",
        *packages,
        stdin=asyncio.subprocess.DEVNULL,
    )
    if await process.wait() != 0:
        raise SandboxError("pip could not install the packages; its own words are above")
    if is_root() and not anybody_may_read(target):
        raise SandboxError(
            f"code does not run as root and cannot reach {target}; name a folder that everybody "
            "may enter: sandbox.folder"
        )
    return target


async def keep_fonts(sandbox: Sandbox, target: Path) -> None:
    """Have matplotlib look for fonts once, in the sandbox, and keep what it found.

    Raises:
        SandboxError: it could not; each kernel then does it again.
    """
    session = await sandbox.create()
    try:
        made = await session.run(_FIND_FONTS, timeout=60.0)
        if made.outcome is not Outcome.FINISHED:
            raise SandboxError(f"matplotlib found no fonts: {made.stderr.strip()[-200:]}")
        fonts = target / FONTS
        fonts.mkdir(exist_ok=True)
        for entry in await session.files():
            content = await session.get(entry.path)
            await asyncio.to_thread((fonts / Path(entry.path).name).write_bytes, content)
    finally:
        await session.close()
