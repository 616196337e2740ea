"""Source code: kept line by line, parted before definitions at the left margin."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import PurePath

from tools.retrieval.assembly import Assembly, clean
from tools.retrieval.decode import decode
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import EmptyDocument
from tools.retrieval.languages import LANGUAGES

_MODIFIERS = (
    r"(?:(?:export|default|pub(?:\([a-z]+\))?|public|private|protected|internal|static|final|"
    r"abstract|async|unsafe|extern|inline|open|override|sealed|data|case|declare|local|partial)\s+)*"
)
_DEFINITION = re.compile(
    _MODIFIERS + r"(?:(?:def|class|function\*?|func|fun|fn|struct|enum|interface|trait|impl|type|"
    r"module|mod|namespace|object|record|macro|message|service|resource|sub|package)\b"
    r"|(?:CREATE|ALTER|INSERT|SELECT|WITH)\b|(?:const|let|var)\s+\w+\s*=\s*(?:async\s*)?[(\w]"
    r"|\w[\w:<>,*&\s]*\s[*&]?\w+\s*\([^;]*$)"
)
# What belongs to the definition below it.
_ABOVE = re.compile(r"@|#\[|//|/\*|\s?\*|#(?!include|define|if|endif)|--|template\b|\[")


def parse(data: bytes, *, name: str, suffix: str) -> Parsed:
    """The code, each definition a section; the language is told by ``suffix``.

    Raises EmptyDocument.
    """
    text = clean(decode(data))
    assembly = Assembly()
    lines = text.split("\n")
    starts = [0, *definitions(lines), len(lines)]
    for start, end in pairwise(starts):
        assembly.block("\n".join(lines[start:end]), kind=Kind.CODE)
    language = LANGUAGES.get(suffix, "code")
    parsed = assembly.finish(title=PurePath(name).name or name, media_type=f"text/x-{language}")
    if not parsed.sections:
        raise EmptyDocument(f"{name}: holds no text; nothing to ingest")
    return parsed


def definitions(lines: list[str]) -> list[int]:
    """The lines, from 1 up, that begin a definition with the comments and decorators above it."""
    found: list[int] = []
    for number, line in enumerate(lines):
        if not line[:1].strip() or len(line) > 500 or not _DEFINITION.match(line):
            continue
        start = number
        while start > 0 and lines[start - 1].strip() and _ABOVE.match(lines[start - 1]):
            start -= 1
        # Definitions without an empty line between them stand together.
        if start > 0 and (not lines[start - 1].strip() or lines[start - 1][:1] in "})]"):
            found.append(start)
    return found
