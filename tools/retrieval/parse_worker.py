"""The process that parsing happens in: frames in on stdin, frames out on stdout, nothing else.

A request is a line of JSON, ``{"name", "bytes", "format"}``, and that many bytes. The reply is
a line of JSON ``{"bytes"}`` and that many bytes of JSON: the document, or the error by name.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import traceback
from dataclasses import asdict
from typing import Any

from tools.retrieval.errors import ParseError
from tools.retrieval.parse import Limits, parse
from tools.retrieval.sniff import Format

_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 5


def main() -> None:
    """Serve requests until stdin ends."""
    limits = Limits(**json.loads(sys.argv[1]))
    _confine(limits)
    requests, replies = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not end up between the frames.
    os.dup2(2, 1)
    while line := requests.readline():
        request = json.loads(line)
        data = requests.read(request["bytes"])
        # Ends a parse whose parent is gone and can no longer end it.
        signal.alarm(int(limits.seconds) + _GRACE_SECONDS)
        reply = json.dumps(_answer(request, data, limits=limits)).encode("utf-8")
        signal.alarm(0)
        replies.write(b'{"bytes": %d}\n' % len(reply))
        replies.write(reply)
        replies.flush()


def _answer(request: dict[str, Any], data: bytes, *, limits: Limits) -> dict[str, Any]:
    name = request["name"]
    wanted = Format(request["format"]) if request["format"] else None
    try:
        return {"parsed": asdict(parse(data, name=name, limits=limits, format=wanted))}
    except ParseError as error:
        return {"error": type(error).__name__, "message": str(error)}
    except MemoryError:
        return {
            "error": "TooLarge",
            "message": f"{name}: reading it takes more than {limits.max_memory / 1e9:.1f} GB"
            " of memory; split it",
        }
    except Exception as error:  # noqa: BLE001 - the loop's edge: one document must not end it
        return {
            "error": "DamagedDocument",
            "message": f"{name}: cannot be read ({type(error).__name__}); get a good copy"
            " and ingest it",
            "traceback": traceback.format_exc(),
        }


def _confine(limits: Limits) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for kind, limit in (
        (resource.RLIMIT_AS, limits.max_memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))


if __name__ == "__main__":
    main()
