"""The files under the paths of a command, each with the name that its source is shown under."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


class NothingToRead(Exception):  # noqa: N818 - it says what is wrong
    """A path that is missing, or a folder without files; the message names it."""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file on disk and its name among documents, such as ``handbook/leave.docx``.

    ``folder`` is the folder that was named, where it was not the file itself.
    """

    path: Path
    name: str
    folder: Path | None = None


def collect(paths: Iterable[Path]) -> list[File]:
    """Every file under the paths, once, in order. Raises NothingToRead.

    Hidden files and what a link leads to outside of its folder are left out. Two files of one
    name keep apart by as much of their paths as is needed.
    """
    found: dict[Path, Path] = {}
    folders: dict[Path, Path] = {}
    for path in paths:
        root = path.absolute()
        if not root.exists():
            raise NothingToRead(f"{path} does not exist; check the path")
        if root.is_dir():
            files = sorted(_walk(root.resolve()))
            if not files:
                raise NothingToRead(
                    f"{path} holds no files (hidden ones do not count); put documents there"
                )
            root = root.resolve()
            for file in files:
                found.setdefault(file, root.parent)
                folders.setdefault(file, root)
        else:
            found.setdefault(root.resolve(), root.resolve().parent)
    return _named(found, folders)


def _walk(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            path = Path(folder) / name
            if name.startswith(".") or (
                path.is_symlink() and not path.resolve().is_relative_to(root)
            ):
                continue
            # A pipe or a device would never end.
            if path.is_file():
                yield path


def _named(found: dict[Path, Path], folders: dict[Path, Path]) -> list[File]:
    names: dict[str, list[Path]] = {}
    for path, above in found.items():
        names.setdefault(_text(path.relative_to(above)), []).append(path)
    files = []
    for path, above in found.items():
        name = _text(path.relative_to(above))
        if len(names[name]) > 1:
            name = _text(path).lstrip("/")
        files.append(File(path=path, name=name, folder=folders.get(path)))
    return files


def _text(path: Path) -> str:
    """The path as text, which one from before UTF-8 is not to Python."""
    return "/".join(map(_legible, path.as_posix().split("/")))


def _legible(part: str) -> str:
    raw = os.fsencode(part)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
