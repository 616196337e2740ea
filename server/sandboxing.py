"""The sandbox as the settings say: for the house, the doctor and the command line."""

from __future__ import annotations

from pathlib import Path

from server.settings import Settings
from tools.sandbox.find import Sizes, Unavailable, open_sandbox
from tools.sandbox.interpreter import is_root
from tools.sandbox.sandbox import MEBIBYTE, Limits, Sandbox

ADDS = "`counterpoint sandbox install` adds numpy, pandas, matplotlib and others"
_LIBRARIES = (
    "numpy, pandas, matplotlib, scipy, sklearn, sympy, openpyxl, pyarrow and pypdf are installed"
)
_SYSTEM = Path("/var/lib/counterpoint")
_PACKAGES = "sandbox-packages"
_FILES = "sandbox-files"


def limits_of(settings: Settings) -> Limits:
    """What one execution may use."""
    return Limits(seconds=settings.sandbox_seconds, memory_bytes=settings.sandbox_memory * MEBIBYTE)


def packages_folder(settings: Settings) -> Path:
    """Where packages lie that code may import; `counterpoint sandbox install` fills it."""
    if settings.sandbox.folder is not None:
        return settings.sandbox.folder.absolute()
    # A data folder of root's is closed to the user that code runs as.
    return (_SYSTEM if is_root() else settings.data_dir) / _PACKAGES


def files_folder(settings: Settings) -> Path:
    """Where files of sleeping sessions lie."""
    return settings.data_dir / _FILES


def told(sandbox: Sandbox) -> str:
    """What code runs in, for people, and how it gets more to import."""
    more = "" if libraries(sandbox) else f"; {ADDS}"
    return f"run in {sandbox.describe().kind}{more}"


def libraries(sandbox: Sandbox) -> str:
    """What code may import beside the standard library, in a phrase for a model; empty where that
    is nothing."""
    details = {one.name: one.detail for one in sandbox.describe().guarantees}
    return _LIBRARIES if "packages in" in details.get("python", "") else ""


async def opened(settings: Settings, *, warm: int = 0) -> Sandbox | Unavailable:
    """The sandbox of this machine, or why there is none; ``warm`` kernels will be kept ready."""
    return await open_sandbox(
        bwrap=settings.bubblewrap,
        limits=limits_of(settings),
        # One more than may be awake: while one is put to sleep the next begins.
        sizes=Sizes(kernels=settings.sandbox.kernels + 1, warm=warm),
        packages=packages_folder(settings),
        strict=settings.sandbox.strict,
    )
