"""Bytes to text: BOM, UTF-8, the declared encoding, a guess, Windows-1252, in this order."""

from __future__ import annotations

import codecs
import re

import charset_normalizer

# UTF-32 before UTF-16: the little-endian marks begin alike.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(rb"(?:charset|encoding|coding)\s*[=:]\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})")
# What is declared as one of these is read as the larger set that its writers use, as browsers do.
READ_AS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_GUESS_FROM = 64
_GUESS_BYTES = 200_000
# Others that Python knows are no charsets of texts, or slow on purpose.
_CHARSETS = re.compile(
    r"ascii$|utf-|cp\d|iso8859-|iso2022_|koi8-|shift_jis|euc_|gb|big5|mac-|tis-620|hz$|johab$"
)
# Of so many characters beyond ASCII one may be broken, and the text still is UTF-8.
_SOUND = 10


def decode(data: bytes, *, declared: str | None = None) -> str:
    """The text of ``data``, which whoever sent it ``declared`` to be in an encoding; never fails,
    since Windows-1252 reads any bytes.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if wide := _wide_without_mark(data):
        return data.decode(wide, errors="replace")
    codec = _codec(declared, data)
    # Their bytes are all ASCII, so that UTF-8 would read them as something else.
    if (codec.startswith("iso2022") and b"\x1b" in data) or (codec == "utf-7" and declared):
        return data.decode(codec, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        broken = error
    if (text := _mostly_utf8(data, broken, declared=codec == "utf-8")) is not None:
        return text
    for one in (READ_AS.get(codec, codec), codec):
        try:
            return data.decode(one)
        except (LookupError, ValueError):
            pass
    # On a line or two the guess is worse than the commonest encoding.
    if len(data) >= _GUESS_FROM:
        try:
            return data.decode(_guess(data[:_GUESS_BYTES]))
        except UnicodeDecodeError:
            pass
    return data.decode("cp1252", errors="replace")


def is_binary(data: bytes) -> bool:
    """Whether ``data`` is not text in any encoding."""
    head = data[:8192]
    if any(data.startswith(mark) for mark, _ in _MARKS) or _wide_without_mark(head):
        return False
    control = sum(byte < 32 and byte not in (7, 8, 9, 10, 11, 12, 13, 27) for byte in head)
    return b"\0" in head or control > len(head) * 0.02


def _codec(declared: str | None, data: bytes) -> str:
    """Python's name of the declared encoding; empty where none is, or nobody knows it."""
    if declared is None:
        found = _DECLARED.search(data[:4096])
        declared = found.group(1).decode("ascii") if found else ""
    try:
        name = codecs.lookup(declared).name
    except (LookupError, ValueError):
        return ""
    return name if _CHARSETS.match(name) else ""


def _mostly_utf8(data: bytes, error: UnicodeDecodeError, *, declared: bool) -> str | None:
    """The text, if it is UTF-8 but for a few broken characters, or one that is cut off."""
    text = data.decode("utf-8", errors="replace")
    broken = text.count("\ufffd") - data.count(b"\xef\xbf\xbd")
    sound = len(text) - len(text.encode("ascii", errors="ignore")) - text.count("\ufffd")
    is_cut = error.end >= len(data) and error.start >= len(data) - 3
    return text if sound >= broken * (1 if declared or is_cut else _SOUND) else None


def _wide_without_mark(data: bytes) -> str | None:
    head = data[: min(len(data), 4096) // 4 * 4]
    if len(head) < 8 or b"\0" not in head:
        return None
    zeros = [sum(byte == 0 for byte in head[place::4]) / (len(head) // 4) for place in range(4)]
    if min(zeros[1:]) > 0.9 and zeros[0] < 0.1:
        return "utf-32-le"
    if min(zeros[:3]) > 0.9 and zeros[3] < 0.1:
        return "utf-32-be"
    if min(zeros[1], zeros[3]) > 0.4 and max(zeros[0], zeros[2]) < 0.1:
        return "utf-16-le"
    if min(zeros[0], zeros[2]) > 0.4 and max(zeros[1], zeros[3]) < 0.1:
        return "utf-16-be"
    return None


def _guess(data: bytes) -> str:
    matches = charset_normalizer.from_bytes(data)
    best = matches.best()
    if best is None:
        return "cp1252"
    equals = {match.encoding for match in matches if match.chaos <= best.chaos}
    # Western European bytes read as well in its neighbours; the commonest one wins.
    if not equals.isdisjoint({"cp1252", "latin_1"}) or "cp1252" in best.could_be_from_charset:
        return "cp1252"
    return best.encoding
