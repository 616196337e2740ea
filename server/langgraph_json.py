"""A user's ``langgraph.json`` as it is, read into what the registry needs. Nothing is imported.

What concerns building images (``python_version``, ``dockerfile_lines``, ...) says nothing to us.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from langgraph.store.base import TTLConfig

from server.graph_source import GraphSource
from server.settings import ConfigurationError

# What an operator would otherwise believe to hold.
_UNUSED = {
    "auth": "keys in counterpoint.toml guard this server instead",
    "http": "its app and middleware are not served",
    "ui": "its components are not served",
    "webhooks": "webhooks are configured in counterpoint.toml",
    "encryption": "what is stored is not encrypted by it",
}
_PACKAGE = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, kw_only=True)
class LanggraphJson:
    """What the file asks for. ``folders`` are for ``sys.path``, ``notes`` lines for the operator.

    ``allowed`` names classes that checkpoints may hold, as module and name; ``store_index`` and
    ``store_ttl`` are the parts of its ``store``.
    """

    graphs: Sequence[GraphSource]
    folders: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    allowed: frozenset[tuple[str, ...]] = frozenset()
    folder: Path = Path()
    store_index: Mapping[str, Any] | None = None
    store_ttl: TTLConfig | None = None


def read(path: Path) -> LanggraphJson:
    """Raises ConfigurationError, which names the file, the field and the remedy."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"langgraph_json: {path}: {error.strerror}") from None
    except ValueError as error:
        raise ConfigurationError(f"langgraph_json: {path} is not JSON: {error}") from None
    folder = path.absolute().parent
    if not isinstance(content, dict) or not isinstance(content.get("graphs"), dict):
        raise ConfigurationError(f"{path}: graphs: name at least one, as NAME: PATH:ATTRIBUTE")
    return LanggraphJson(
        graphs=[_source(path, folder, name, about) for name, about in content["graphs"].items()],
        folders=_folders(path, folder, content.get("dependencies") or []),
        environment=_environment(path, folder, content.get("env")),
        notes=[
            f"{path.name}: {name} is not used: {why}"
            for name, why in _UNUSED.items()
            if content.get(name)
        ],
        allowed=_allowed(path, content.get("checkpointer")),
        folder=folder,
        store_index=_store_index(path, content.get("store")),
        store_ttl=_store_ttl(content.get("store")),
    )


def _source(path: Path, folder: Path, name: str, about: Any) -> GraphSource:
    if isinstance(about, str):
        about = {"path": about}
    if not isinstance(about, dict) or not isinstance(about.get("path"), str):
        raise ConfigurationError(f"{path}: graphs.{name}: give it as path/file.py:attribute")
    if Path(about["path"].partition(":")[0]).suffix in {".ts", ".js", ".mts", ".mjs", ".tsx"}:
        raise ConfigurationError(f"{path}: graphs.{name}: only graphs in Python run here")
    return GraphSource(
        name=name,
        target=about["path"],
        folder=folder,
        description=str(about.get("description") or ""),
    )


def _folders(path: Path, folder: Path, dependencies: Any) -> list[Path]:
    if not isinstance(dependencies, list):
        raise ConfigurationError(f"{path}: dependencies: give a list of folders and packages")
    found: list[Path] = []
    missing: list[str] = []
    for dependency in map(str, dependencies):
        if dependency.startswith("."):
            local = (folder / dependency).resolve()
            if not local.is_dir():
                raise ConfigurationError(f"{path}: dependencies: there is no folder {dependency}")
            found += [local, *([local / "src"] if (local / "src").is_dir() else [])]
        elif not _installed(dependency):
            missing.append(dependency)
    if missing:
        raise ConfigurationError(
            f"{path}: dependencies: not installed here: {', '.join(missing)}; "
            f"run: pip install {' '.join(repr(one) for one in missing)}"
        )
    return found


def _installed(requirement: str) -> bool:
    named = _PACKAGE.match(requirement)
    if named is None:
        return False
    try:
        metadata.distribution(named.group())
    except metadata.PackageNotFoundError:
        return False
    return True


def _environment(path: Path, folder: Path, given: Any) -> dict[str, str]:
    match given:
        case None | "":
            return {}
        case dict():
            return {str(name): str(value) for name, value in given.items()}
        case str():
            file = folder / given
            if not file.is_file():
                raise ConfigurationError(f"{path}: env: there is no file {given}")
            return {name: value for name, value in dotenv_values(file).items() if value is not None}
        case _:
            raise ConfigurationError(f"{path}: env: give a .env file or an object")


def _allowed(path: Path, checkpointer: Any) -> frozenset[tuple[str, ...]]:
    serde = checkpointer.get("serde") if isinstance(checkpointer, dict) else None
    names = serde.get("allowed_msgpack_modules") if isinstance(serde, dict) else None
    if names is None:
        return frozenset()
    if not isinstance(names, list) or not all(isinstance(one, list) for one in names):
        raise ConfigurationError(
            f"{path}: checkpointer.serde.allowed_msgpack_modules: give [MODULE, CLASS] for each"
        )
    return frozenset(tuple(map(str, one)) for one in names)


def _store_index(path: Path, store: Any) -> Mapping[str, Any] | None:
    index = store.get("index") if isinstance(store, dict) else None
    if not index:
        return None
    if not isinstance(index, dict) or not index.get("embed"):
        raise ConfigurationError(
            f"{path}: store.index.embed: name a model, or path/file.py:function"
        )
    return index


def _store_ttl(store: Any) -> TTLConfig | None:
    told = store.get("ttl") if isinstance(store, dict) else None
    if not isinstance(told, dict):
        return None
    ttl = TTLConfig(refresh_on_read=bool(told.get("refresh_on_read", True)))
    if told.get("default_ttl"):
        ttl["default_ttl"] = float(told["default_ttl"])
    return ttl
