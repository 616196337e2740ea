"""What a reader may hear of a reply while the model still writes it. Pure: no IO."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

from models.pieces import Piece
from models.schema import ANSWER

_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A piece of what a model writes: of its text, of its reasoning, or of both.

    Pieces of one attempt have one ``message_id`` and come in order. A new one means that the
    attempt before has failed and that all its pieces are void. The id of the attempt that holds
    is the id of the reply's message; where none holds, the call raises.
    """

    text: str
    reasoning: str
    message_id: str


Hear = Callable[[Heard], None]
"""Called on the event loop for each piece: must not block; what it raises ends the call."""

Listener = Callable[[Piece], tuple[str, str]]
"""Of one attempt's pieces in order: the text and the reasoning that are meant for the reader."""


def all_of(piece: Piece) -> tuple[str, str]:
    return piece.text, piece.reasoning


def reasoning_of(piece: Piece) -> tuple[str, str]:
    """For replies whose text is data."""
    return "", piece.reasoning


class _At(Enum):
    START = auto()
    KEY = auto()  # before a key, or before the object's end
    COLON = auto()
    VALUE = auto()
    STRING = auto()
    SCALAR = auto()
    NESTED = auto()
    DEAF = auto()  # behind the object, or in what is none


@dataclass(kw_only=True)
class AnswerText:
    """Hears the answer's text out of one JSON object ``{"thought", "action", "text"}``.

    ``thought`` counts as reasoning; ``text`` is heard only behind ``"action": "answer"``. Of a
    reply that does not begin with an object nothing is heard.
    """

    _at: _At = _At.START
    _key: str | None = None  # None: the string being read is a key
    _string: list[str] = field(default_factory=list)
    _escape: str = ""
    _high: int = 0
    _depth: int = 0
    _quoted: bool = False
    _answers: bool = False

    def __call__(self, piece: Piece) -> tuple[str, str]:
        text: list[str] = []
        thought: list[str] = []
        for character in piece.text:
            if self._at is _At.DEAF:
                break
            if self._at is _At.STRING:
                self._in_string(character, text, thought)
            elif self._at is _At.NESTED:
                self._in_nested(character)
            elif self._at is _At.SCALAR or not character.isspace():
                self._between(character)
        return "".join(text), piece.reasoning + "".join(thought)

    def _between(self, character: str) -> None:
        match self._at, character:
            case _At.START, "{":
                self._at = _At.KEY
            case (_At.KEY, ",") | (_At.SCALAR, ","):
                self._at = _At.KEY
            case _At.KEY, '"':
                self._key, self._at = None, _At.STRING
            case _At.COLON, ":":
                self._at = _At.VALUE
            case _At.VALUE, '"':
                self._at = _At.STRING
            case _At.VALUE, "{" | "[":
                self._depth, self._at = 1, _At.NESTED
            case (_At.VALUE, _) if character not in ",}]":
                self._at = _At.SCALAR
            case (_At.SCALAR, _) if character != "}":
                pass
            case _:
                self._at = _At.DEAF

    def _in_nested(self, character: str) -> None:
        if self._escape:
            self._escape = ""
        elif self._quoted:
            self._quoted = character != '"'
            self._escape = "\\" if character == "\\" else ""
        elif character == '"':
            self._quoted = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            if not self._depth:
                self._at = _At.KEY

    def _in_string(self, character: str, text: list[str], thought: list[str]) -> None:
        if not self._escape and character == '"':
            self._close()
            return
        said = self._decoded(character)
        if self._key == "text" and self._answers:
            text.append(said)
        elif self._key == "thought":
            thought.append(said)
        elif self._key in (None, "action"):
            self._string.append(said)

    def _decoded(self, character: str) -> str:
        """What a character of a string stands for; nothing within an escape."""
        if not self._escape:
            if character != "\\":
                self._high = 0
                return character
            self._escape = "\\"
            return ""
        if self._escape == "\\" and character != "u":
            self._escape, self._high = "", 0
            return _ESCAPES.get(character, character)
        self._escape += character
        if len(self._escape) < len("\\u0000"):
            return ""
        return self._from_code(self._escape[2:])

    def _from_code(self, digits: str) -> str:
        self._escape, high = "", self._high
        self._high = 0
        try:
            code = int(digits, 16)
        except ValueError:
            self._at = _At.DEAF
            return ""
        if 0xD800 <= code < 0xDC00:
            self._high = code
            return ""
        if 0xDC00 <= code < 0xE000:
            return chr(0x10000 + (high - 0xD800) * 0x400 + code - 0xDC00) if high else "\ufffd"
        return chr(code)

    def _close(self) -> None:
        said = "".join(self._string)
        self._string.clear()
        if self._key is None:
            self._key, self._at = said, _At.COLON
            return
        if self._key == "action":
            self._answers = said == ANSWER
        self._at = _At.KEY
