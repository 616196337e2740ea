"""What became of the files of a folder since it was ingested: renamed, deleted. Decides, pure; the
look at the disk is an argument.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from server.files import File
from server.source_names import CONTROL, LONGEST_NAME, file_name


@dataclass(frozen=True, kw_only=True)
class Known:
    """A document that came out of the folder before; ``content`` is the SHA-256 of its bytes."""

    document_id: str
    name: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do about documents whose files are not where they were."""

    renamed: tuple[tuple[Known, File], ...] = ()
    deleted: tuple[Known, ...] = ()


def label(folder: Path) -> str | None:
    """What the folder is called where its documents are kept; None where it cannot be followed."""
    text = f"{platform.node() or 'localhost'}:{folder.as_posix()}"
    try:
        text.encode()
    except UnicodeEncodeError:
        return None
    return None if len(text) > LONGEST_NAME or CONTROL.search(text) else text


def is_gone(folder: Path, name: str) -> bool:
    """Whether the file is certainly not there; what cannot be looked at may be."""
    # Files of one name in two folders are called by their whole paths.
    for path in (folder.parent / name, Path("/") / name):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            pass
        return False
    return True


def is_empty(file: File) -> bool:
    """Whether the file certainly holds nothing."""
    try:
        return file.path.stat().st_size == 0
    except OSError:
        return False


def plan(
    files: Sequence[File],
    known: Sequence[Known],
    *,
    gone: Callable[[str], bool],
    content: Callable[[File], str | None],
) -> Plan:
    """Tell the renamed from the deleted by what is in them.

    ``files`` are all that the folder holds now: where that is nothing, it may be unmounted, and
    nothing follows. ``gone`` looks whether a name is not there any more, ``content`` gives the
    SHA-256 of a file, None where it cannot be read.
    """
    if not files:
        return Plan()
    now = {file_name(file.name) for file in files}
    missing = [one for one in known if one.name not in now and gone(one.name)]
    if not missing:
        return Plan()
    before = {one.name for one in known}
    by_content: dict[str, list[Known]] = {}
    for one in missing:
        by_content.setdefault(one.content, []).append(one)
    renamed: list[tuple[Known, File]] = []
    for file in files:
        if file_name(file.name) in before:
            continue
        digest = content(file)
        if digest and by_content.get(digest):
            renamed.append((by_content[digest].pop(0), file))
    taken = {old.document_id for old, _ in renamed}
    return Plan(
        renamed=tuple(renamed),
        deleted=tuple(one for one in missing if one.document_id not in taken),
    )


def content_of(file: File) -> str | None:
    """SHA-256 of the file's bytes; None where it cannot be read."""
    try:
        with file.path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return None
