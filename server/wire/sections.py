"""What stands under an answer for people: its files, the code behind it, its sources. Pure.

Frontends send an answer back as it was shown; what stands under it is taken off again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from graphs import events
from server.wire.files import path_of

FILES = "\n\nFiles:\n"
CODE = "\n\nCode:\n"
SOURCES = "\n\nSources:\n"
MOST_FILES = 20
MOST_LINES = 40
Url = Callable[[str], str]
"""From a file's id to where it is fetched."""
_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/svg+xml"})
_SOURCE = re.compile(r"\[\d+\] ")
_FENCE = re.compile(r"(`{3,})python\n")
_SIZES = ((1024 * 1024, "MiB"), (1024, "KiB"))


def under(finished: events.RunFinished, *, url: Url = path_of) -> str:
    """Files, as ``url`` has them, and code as Markdown. Sources come behind."""
    return files(finished.artifacts, url=url) + code(finished.cells)


def files(artifacts: Sequence[events.Artifact], *, url: Url) -> str:
    """Images shown, other files as links; empty without any."""
    if not artifacts:
        return ""
    lines = [_line(one, url=url) for one in artifacts[:MOST_FILES]]
    if len(artifacts) > MOST_FILES:
        lines.append(f"- and {len(artifacts) - MOST_FILES} more")
    return FILES + "\n".join(lines)


def code(cells: Sequence[events.Cell]) -> str:
    """The code that ended well, in a block; empty where none ran."""
    text = program(cells)
    if not text:
        return ""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{CODE}{fence}python\n{text}\n{fence}"


def program(cells: Sequence[events.Cell]) -> str:
    """All code that ended well, the end of it where it is long."""
    text = "\n\n".join(cell.code.strip("\n") for cell in cells if cell.ok)
    lines = [line.rstrip() for line in text.splitlines()]
    if len(lines) > MOST_LINES:
        lines = [f"# ... {len(lines) - MOST_LINES} lines before", *lines[-MOST_LINES:]]
    return "\n".join(lines)


def without(text: str) -> str:
    """An answer without what stands under it."""
    text = _cut(text, SOURCES, lambda rest: all(map(_SOURCE.match, rest.splitlines())))
    text = _cut(text, CODE, _is_block)
    return _cut(text, FILES, lambda rest: all(map(_is_file, rest.splitlines())))


def absolute(text: str, artifacts: Sequence[events.Artifact], *, url: Url) -> str:
    """An answer whose links to its files can be followed from elsewhere."""
    for one in artifacts:
        text = text.replace(f"]({path_of(one.id)})", f"]({url(one.id)})")
    return text


def size(count: int) -> str:
    """Bytes in words."""
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"


def _cut(text: str, head: str, ours: Callable[[str], bool]) -> str:
    """The text without the part behind its last ``head``, if that is one of ours."""
    before, found, rest = text.rpartition(head)
    return before if found and rest and ours(rest) else text


def _is_block(text: str) -> bool:
    fence = _FENCE.match(text)
    return fence is not None and text.endswith(f"\n{fence[1]}")


def _is_file(line: str) -> bool:
    return line.startswith(("![", "- [", "- and "))


def _line(one: events.Artifact, *, url: Url) -> str:
    to = url(one.id)
    label = re.sub(r"([\\\[\]])", r"\\\1", one.name)
    if one.media_type in _IMAGES:
        return f"![{label}]({to})"
    return f"- [{label}]({to}) ({size(one.bytes)})"
