"""The wire to a kernel in the sandbox: frames of one kind, one length and as many bytes.

What comes back is written by a guest who may be hostile: lengths are capped, and whatever does not
parse is a ``ProtocolError``. The guest's own stdout and stderr are other pipes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any

from tools.sandbox.sandbox import Output, OutputKind

HEAD = struct.Struct(">cI")
_PUT_HEAD = struct.Struct(">QH")
_LATEST = 2**63 - 1
NONCE_BYTES = 16

CELL, PUT = b"C", b"P"
HELLO, BEGUN, OUTPUT, DONE, WRITTEN = b"H", b"B", b"O", b"D", b"W"
_KINDS = frozenset({HELLO, BEGUN, OUTPUT, DONE, WRITTEN})

TEXT_BYTES = 64 * 1024
HTML_BYTES = 512 * 1024
IMAGE_BYTES = 4 * 1024 * 1024
IMAGE_PIXELS = 25_000_000
OUTPUTS = 32
"""Most outputs kept of one cell."""
OUTPUTS_BYTES = 12 * 1024 * 1024
"""Most bytes kept of all outputs of one cell."""
FRAME_BYTES = TEXT_BYTES + HTML_BYTES + 2 * IMAGE_BYTES + 16 * 1024

_LIMITS = {"text/plain": TEXT_BYTES, "text/html": HTML_BYTES}
_PNG = b"\x89PNG\r\n\x1a\n"


class ProtocolError(Exception):
    """The guest sent what no kernel of ours sends."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One whole frame from the guest."""

    kind: bytes
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Done:
    """How the guest says that a cell ended."""

    nonce: str
    ok: bool
    text: str
    memory: bool
    interrupted: bool
    exit_code: int


def packed(kind: bytes, *parts: bytes) -> list[bytes]:
    """A frame for the kernel, in pieces."""
    return [HEAD.pack(kind, sum(map(len, parts))), *parts]


def put(nonce: bytes, *, name: str, content: bytes, modified: int = 0) -> list[bytes]:
    """The frame that writes one file; ``modified`` in nanoseconds of the guest's clock, 0: now."""
    path = name.encode()
    when = min(max(modified, 0), _LATEST)
    return packed(PUT, nonce, _PUT_HEAD.pack(when, len(path)), path, content)


class FrameReader:
    """Takes bytes as they come and gives whole frames; holds ``FRAME_BYTES`` at most."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that ``data`` completes.

        Raises:
            ProtocolError: an unknown kind, or a length above the cap.
        """
        self._held += data
        found: list[Frame] = []
        while len(self._held) >= HEAD.size:
            kind, length = HEAD.unpack_from(self._held)
            if kind not in _KINDS or length > FRAME_BYTES:
                raise ProtocolError(f"a frame {kind!r} of {length:,} bytes")
            end = HEAD.size + length
            if len(self._held) < end:
                break
            found.append(Frame(kind=kind, body=bytes(self._held[HEAD.size : end])))
            del self._held[:end]
        return found


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a body that is no JSON") from error
    if not isinstance(value, dict):
        raise ProtocolError("a body that is no object")
    return value


def nonce_of(body: bytes) -> str:
    """Which request a WRITTEN or OUTPUT frame answers."""
    return str(_object(body.partition(b"\n")[0]).get("id", ""))


def hello(body: bytes) -> dict[str, str]:
    """What the kernel says of itself."""
    return {words(key): words(value)[:200] for key, value in _object(body).items()}


def written(body: bytes) -> str:
    """Why a file could not be written; empty where it was."""
    return words(_object(body).get("error", ""))[:500]


def done(body: bytes) -> Done:
    """The end of a cell, with a traceback of ``TEXT_BYTES`` characters at most."""
    told = _object(body)
    code = told.get("exit", 0)
    return Done(
        nonce=str(told.get("id", "")),
        ok=told.get("ok") is True,
        text=words(told.get("text", ""))[-TEXT_BYTES:],
        memory=told.get("memory") is True,
        interrupted=told.get("interrupted") is True,
        exit_code=code if isinstance(code, int) and abs(code) < 2**31 else 1,
    )


def output(body: bytes) -> Output:
    """One rich output: a line of JSON with kinds and sizes, then the bytes of each."""
    line, _, rest = body.partition(b"\n")
    told = _object(line)
    forms: dict[str, bytes] = {}
    left_out = [words(one)[:200] for one in _list(told.get("left_out", []))[:8]]
    for part in _list(told.get("parts", []))[:8]:
        if not (isinstance(part, list) and len(part) == 2 and isinstance(part[1], int)):
            raise ProtocolError("an output without sizes")
        media_type, size = str(part[0])[:100], part[1]
        if not 0 <= size <= len(rest):
            raise ProtocolError("an output shorter than it says")
        content, rest = rest[:size], rest[size:]
        if complaint := unfit(media_type, content):
            left_out.append(complaint)
        else:
            forms[media_type] = content
    return Output(
        kind=OutputKind.RESULT if told.get("kind") == "result" else OutputKind.DISPLAY,
        text=_text(forms, "text/plain"),
        html=_text(forms, "text/html"),
        svg=_text(forms, "image/svg+xml"),
        png=forms.get("image/png", b""),
        left_out=tuple(left_out),
    )


def words(value: object) -> str:
    """As text that can be stored: half a character, as Python has it of a name that is no UTF-8,
    is told by its number."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def size_of(shown: Output) -> int:
    """Bytes that an output takes."""
    return len(shown.text) + len(shown.html) + len(shown.svg) + len(shown.png)


def unfit(media_type: str, content: bytes) -> str:
    """Why this form of an output is not kept; empty where it is."""
    limit = _LIMITS.get(media_type, IMAGE_BYTES)
    if len(content) > limit:
        return f"{media_type} of {len(content):,} bytes: {limit:,} at most"
    if media_type == "image/png":
        if not content.startswith(_PNG) or len(content) < 24:
            return "image/png that is none"
        width, height = struct.unpack_from(">II", content, 16)
        if width * height > IMAGE_PIXELS:
            return f"image/png of {width} x {height}: {IMAGE_PIXELS:,} pixels at most"
    return ""


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ProtocolError("a list was expected")
    return value


def _text(forms: dict[str, bytes], media_type: str) -> str:
    return forms.get(media_type, b"").decode("utf-8", "replace")
