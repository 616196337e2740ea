"""Where a graph of a user's own stands, and its loading: the one place that imports users' code."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from server.settings import ConfigurationError

# Our own rooms; users' apps like these names as well.
_ROOMS = ("agents", "evals", "graphs", "guardrails", "models", "server", "tools")


@dataclass(frozen=True, kw_only=True)
class GraphSource:
    """``target``: ``path/file.py:attribute`` below ``folder``, or ``package.module:attribute``."""

    name: str
    target: str
    folder: Path
    description: str = ""

    @property
    def where(self) -> str:
        """The graph and its place, for people."""
        return f"graph {self.name} ({self.target})"


def load(source: GraphSource, *, folders: Sequence[Path] = ()) -> Any:
    """The named attribute, with ``folders`` on ``sys.path`` from now on.

    Raises ConfigurationError: no such file, an error while importing, no such attribute.
    """
    place, _, attribute = source.target.rpartition(":")
    if not place or not attribute:
        raise ConfigurationError(
            f"{source.where}: write it as path/file.py:attribute or package.module:attribute"
        )
    is_file = place.endswith(".py") or "/" in place
    file = (source.folder / place).resolve()
    if is_file and not file.is_file():
        raise ConfigurationError(f"{source.where}: there is no file {file}")
    search = [*folders, source.folder, *([file.parent] if is_file else [])]
    try:
        with _apart(search):
            module = _file(source.name, file) if is_file else importlib.import_module(place)
    except (Exception, SystemExit) as error:
        raise ConfigurationError(f"{source.where}: importing it failed: {_cause(error)}") from error
    found: Any = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ConfigurationError(f"{source.where}: the module has no {attribute}")
    return found


def _file(name: str, file: Path) -> ModuleType:
    """The module in a file; as part of its package where it stands in one."""
    root = file.parent
    parts = [] if file.stem == "__init__" else [file.stem]
    while (root / "__init__.py").is_file():
        parts.insert(0, root.name)
        root = root.parent
    if len(parts) > 1 or file.stem == "__init__":
        sys.path.insert(0, str(root))
        try:
            return importlib.import_module(".".join(parts))
        finally:
            sys.path.remove(str(root))
    # A name of its own, and always the same: checkpoints hold the modules of classes.
    module_name = "counterpoint_graph_" + re.sub(r"\W", "_", f"{file.stem}_{name}")
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[module_name]
        raise
    return module


@contextlib.contextmanager
def _apart(folders: Sequence[Path]) -> Iterator[None]:
    """Import with ``folders`` first; modules named like our rooms are the user's meanwhile."""
    first = list(dict.fromkeys(str(folder) for folder in folders))
    taken = [
        room
        for room in _ROOMS
        if any(
            (Path(folder) / f"{room}.py").is_file() or (Path(folder) / room).is_dir()
            for folder in first
            if not (Path(folder) / "server" / "graph_source.py").is_file()
        )
    ]
    ours = {name: sys.modules.pop(name) for name in _within(taken)}
    before = list(sys.path)
    sys.path[:0] = first
    finder = _Theirs(taken, folders=first)
    sys.meta_path.insert(0, finder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in _within(taken):
            del sys.modules[name]
        sys.modules.update(ours)
        # Behind everything else, for what is imported while a node runs.
        sys.path[:] = before + [folder for folder in first if folder not in before]


def _within(rooms: Sequence[str]) -> list[str]:
    """The loaded modules of these rooms."""
    return [name for name in sys.modules if name.partition(".")[0] in rooms] if rooms else []


class _Theirs:
    """Finds the user's modules first, also where a folder of theirs is no package and ours is."""

    def __init__(self, names: Sequence[str], *, folders: Sequence[str]) -> None:
        self._names = names
        self._folders = folders

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or name not in self._names:
            return None
        return PathFinder.find_spec(name, list(self._folders), target)


def _cause(error: BaseException) -> str:
    line = f" (line {error.lineno})" if isinstance(error, SyntaxError) else ""
    remedy = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        remedy = f"; install it, or name its folder under dependencies: {error.name}"
    return f"{type(error).__name__}: {error}{line}{remedy}"
