"""Server-sent events out of bytes, however the network has cut them. Pure: no IO."""

from __future__ import annotations

LONGEST = 4 * 1024 * 1024
"""Bytes of one line or of one event's data; a token's frame has a few hundred."""

_MARK = b"\xef\xbb\xbf"


class TooLong(Exception):  # noqa: N818  (says what happened)
    """A line or an event is longer than the limit."""


class Events:
    """Takes bytes, gives the ``data`` of each event that is complete.

    Lines end with LF, CR or CRLF; comments and other fields are left out; several ``data`` lines
    of one event are joined by LF, as the standard says.
    """

    def __init__(self, *, longest: int = LONGEST) -> None:
        self._longest = longest
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._after_cr = False
        self._begun = False

    def feed(self, received: bytes) -> list[bytes]:
        """The data of the events that these bytes complete; raises ``TooLong``."""
        if self._after_cr and received:
            self._after_cr = False
            if received.startswith(b"\n"):
                received = received[1:]
        text = self._rest + received if self._rest else received
        if not self._begun:
            if len(text) < len(_MARK) and _MARK.startswith(text):
                self._rest = text
                return []
            self._begun = True
            text = text.removeprefix(_MARK)
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1
        self._rest = text[end:]
        if len(self._rest) > self._longest:
            raise TooLong
        if not end:
            return []
        self._after_cr = text[end - 1] == 13
        complete: list[bytes] = []
        for line in text[:end].splitlines():
            if not line:
                if self._data:
                    complete.append(self._take())
            elif line.startswith(b"data"):
                self._field(line)
        return complete

    def end(self) -> list[bytes]:
        """What the body ended with: an event without its closing line."""
        rest, self._rest = self._rest, b""
        if rest.startswith(b"data"):
            self._field(rest)
        return [self._take()] if self._data else []

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        if name != b"data":
            return
        value = value.removeprefix(b" ")
        self._size += len(value)
        if self._size > self._longest:
            raise TooLong
        self._data.append(value)

    def _take(self) -> bytes:
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        self._size = 0
        return data
