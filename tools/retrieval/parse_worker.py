"""The process that parsing happens in: frames in on stdin, frames out on stdout, nothing else.

A request is a line of JSON, ``{"name", "bytes", "format"}``, and that many bytes. The reply is
a line of JSON ``{"bytes"}`` and that many bytes of JSON: the document, or the error by name.
Before it may come lines ``{"more_seconds"}``: a scan is being read, which takes longer.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import math
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from tools.retrieval.documents import Kind, Parsed, Section
from tools.retrieval.errors import DamagedDocument, ParseError
from tools.retrieval.ocr import Ocr, Recognizer
from tools.retrieval.parse import Limits, parse
from tools.retrieval.sniff import Format

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 5
_NICE = 10


def main() -> None:
    """Serve requests until stdin ends."""
    options = json.loads(sys.argv[1])
    limits = Limits(**options["limits"])
    ocr = Ocr(**options["ocr"]) if options["ocr"] else None
    _confine(limits)
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not end up between the frames.
    os.dup2(2, 1)
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["bytes"])
        # Ends a parse whose parent is gone and can no longer end it.
        signal.alarm(int(limits.seconds) + _GRACE_SECONDS)
        reply = _answer(request, data, limits=limits, recognizer=_recognizer(ocr, replies))
        signal.alarm(0)
        replies.write(b'{"bytes": %d}\n' % len(reply))
        replies.write(reply)
        replies.flush()


def _recognizer(ocr: Ocr | None, replies: BinaryIO) -> Recognizer | None:
    def more_time(seconds: float) -> None:
        signal.alarm(signal.alarm(0) + math.ceil(seconds))
        replies.write(json.dumps({"more_seconds": seconds}).encode("ascii") + b"\n")
        replies.flush()

    return Recognizer(ocr, more_time=more_time) if ocr is not None else None


def _answer(
    request: dict[str, Any], data: bytes, *, limits: Limits, recognizer: Recognizer | None
) -> bytes:
    name = request["name"]
    wanted = Format(request["format"]) if request["format"] else None
    try:
        parsed = parse(data, name=name, limits=limits, format=wanted, recognizer=recognizer)
        return json.dumps({"parsed": to_json(parsed)}).encode("utf-8")
    except ParseError as error:
        failure = {"error": type(error).__name__, "message": str(error)}
        if isinstance(error, DamagedDocument) and error.__cause__ is not None:
            failure["traceback"] = traceback.format_exc()
    except MemoryError:
        failure = {
            "error": "TooLarge",
            "message": f"{name}: reading it takes more than {limits.max_memory / 1e9:.1f} GB"
            " of memory; split it",
        }
    except Exception as error:  # noqa: BLE001 - the loop's edge: one document must not end it
        failure = {
            "error": "DamagedDocument",
            "message": f"{name}: cannot be read ({type(error).__name__}); get a good copy"
            " and ingest it",
            "traceback": traceback.format_exc(),
        }
    return json.dumps(failure).encode("utf-8")


def to_json(parsed: Parsed) -> dict[str, Any]:
    """A document for the wire; a section's text travels as its place in the whole."""
    return {
        "title": parsed.title,
        "text": parsed.text,
        "sections": [
            [one.start, len(one.text), list(one.heading_path), one.page, one.kind, one.caption]
            for one in parsed.sections
        ],
        "media_type": parsed.media_type,
        "pages": parsed.pages,
        "pages_without_text": list(parsed.pages_without_text),
        "pages_by_ocr": list(parsed.pages_by_ocr),
    }


def from_json(data: dict[str, Any]) -> Parsed:
    """The document that ``to_json`` was given."""
    text = data["text"]
    return Parsed(
        title=data["title"],
        text=text,
        sections=tuple(
            Section(
                text=text[start : start + length],
                start=start,
                heading_path=tuple(heading_path),
                page=page,
                kind=Kind(kind),
                caption=caption,
            )
            for start, length, heading_path, page, kind, caption in data["sections"]
        ),
        media_type=data["media_type"],
        pages=data["pages"],
        pages_without_text=tuple(data["pages_without_text"]),
        pages_by_ocr=tuple(data["pages_by_ocr"]),
    )


def _confine(limits: Limits) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        # Searches go first, also where the kernel weighs whole sessions against each other.
        os.nice(_NICE)
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(_NICE), "ascii")
    for kind, limit in (
        (resource.RLIMIT_AS, limits.max_memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    main()
