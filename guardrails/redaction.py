"""Secrets and personal data out of a text, replaced by placeholders such as `[email 1]`.

Patterns of known shapes, and check digits where there are some: what is found is what it looks
like, in nearly all cases; what has no shape is not found (names are by ``guardrails.names``).
Another finder may be put in its place or beside it (``Finder``).
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol


class Kind(StrEnum):
    """What was found; the value is the word in the placeholder."""

    EMAIL = "email"
    PHONE = "phone"
    CARD = "card"
    IBAN = "iban"
    SSN = "social security number"
    PERSON = "person"
    PLACE = "place"
    KEY = "key"
    TOKEN = "token"  # noqa: S105 - a word
    PASSWORD = "password"  # noqa: S105 - a word
    PRIVATE_KEY = "private key"


PERSONAL = frozenset(
    {Kind.EMAIL, Kind.PHONE, Kind.CARD, Kind.IBAN, Kind.SSN, Kind.PERSON, Kind.PLACE}
)
SECRET = frozenset(Kind) - PERSONAL


@dataclass(frozen=True, kw_only=True)
class Found:
    """Where something stands in a text: from ``start`` up to ``end``."""

    kind: Kind
    start: int
    end: int


class Finder(Protocol):
    """Says what has to go."""

    def __call__(self, text: str, /) -> Iterable[Found]:
        """All that is found, in any order; may overlap."""
        ...


@dataclass(frozen=True, kw_only=True)
class _Shape:
    """A pattern; what its group `it` holds goes, or all of it.

    Whatever it matches holds one of ``signs``, in small letters: they are far quicker to look for.
    """

    kind: Kind
    pattern: re.Pattern[str]
    signs: Sequence[str]


def _shape(kind: Kind, pattern: str, flags: int = 0, *, signs: Sequence[str]) -> _Shape:
    return _Shape(kind=kind, pattern=re.compile(pattern, flags | re.ASCII), signs=tuple(signs))


_NAMED = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret(?:[_-]?(?:access[_-]?)?key)?"
    r"|(?:access|auth|api)[_-]?(?:token|key)|client[_-]?secret|token)"
)
_SHAPES = (
    _shape(
        Kind.PRIVATE_KEY,
        r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:.*?-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----|[A-Za-z0-9+/=\s\\]*)",
        re.DOTALL,
        signs=["private key"],
    ),
    _shape(Kind.TOKEN, r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*", signs=["eyj"]),
    _shape(
        Kind.TOKEN,
        r"\bgh[pousr]_[A-Za-z0-9]{30,}\b|\bgithub_pat_\w{22,}",
        signs=["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
    ),
    _shape(
        Kind.TOKEN,
        r"\bglpat-[\w-]{20,}|\bnpm_[A-Za-z0-9]{36}\b|\bpypi-[\w-]{50,}",
        signs=["glpat-", "npm_", "pypi-"],
    ),
    _shape(Kind.TOKEN, r"\bxox[a-z]-[\w-]{10,}|\bxapp-[\w-]{10,}", signs=["xox", "xapp-"]),
    _shape(
        Kind.TOKEN,
        r"\bhooks\.slack\.com/(?:services|workflows)/(?P<it>[\w/]{20,})",
        signs=["hooks.slack.com/"],
    ),
    _shape(
        Kind.TOKEN,
        r"\b\d{8,10}:AA[\w-]{33}\b|\bya29\.[\w-]{20,}|\bhf_[A-Za-z0-9]{30,}\b",
        signs=[":aa", "ya29.", "hf_"],
    ),
    _shape(
        Kind.KEY,
        r"\b(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z2-7]{16}\b",
        signs=["akia", "asia", "abia", "acca", "aroa", "aida"],
    ),
    _shape(
        Kind.KEY,
        r"(?i:aws.{0,20}secret.{0,20}?[=:]\s*[\"']?)(?P<it>[A-Za-z0-9/+]{40})(?![\w/+])",
        signs=["aws"],
    ),
    _shape(
        Kind.KEY,
        r"\bsk-(?=[\w-]{0,200}\d)[\w-]{20,200}|\b[rs]k_(?:live|test)_\w{16,}"
        r"|\bwhsec_[\w+/=]{16,}|\bcp-[\w-]{40,}",
        signs=["sk-", "k_live_", "k_test_", "whsec_", "cp-"],
    ),
    _shape(
        Kind.KEY,
        r"\bAIza[\w-]{35}(?![\w-])|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bdo[opr]_v1_[0-9a-f]{64}\b",
        signs=["aiza", "sg.", "_v1_"],
    ),
    _shape(
        Kind.KEY,
        r"\b(?:AccountKey|SharedAccessKey)=(?P<it>[A-Za-z0-9+/=]{32,})",
        signs=["accountkey=", "accesskey="],
    ),
    _shape(
        Kind.TOKEN,
        r"\b(?i:bearer)\s+(?P<it>(?=[\w.~+/=-]{0,2000}\d)[\w.~+/-]{16,}=*)"
        r"|\b(?i:authorization\s*[=:]\s*[\"']?basic)\s+(?P<basic>[\w+/-]{6,}=*)",
        signs=["bearer", "basic"],
    ),
    _shape(
        Kind.PASSWORD,
        r"\b[a-z][a-z0-9+.-]{1,20}://[^\s:/@\"'<>]{0,100}:(?P<it>[^\s/@\"'<>\[\]]{1,200})@",
        re.I,
        signs=["://"],
    ),
    _shape(
        Kind.PASSWORD,
        r"(?i:\b|_)(?i:" + _NAMED + r")[\"']?\s{0,3}[=:]\s{0,3}[\"']?"
        r"(?P<it>(?=[^\s\"'<>\[\]]{0,80}\d)(?=[^\s\"'<>\[\]]{0,80}[A-Za-z])[^\s\"'<>\[\](){},;]{8,200})",
        signs=["pass", "pwd", "secret", "token", "key"],
    ),
    _shape(
        Kind.EMAIL,
        r"(?<![\w.+%-])[\w.+%'-]{1,64}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}\b",
        signs=["@"],
    ),
    _shape(
        Kind.IBAN,
        r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b",
        signs=string.digits,
    ),
    _shape(
        Kind.CARD,
        r"(?<![\w.-])(?:\d{4}([ -]?)\d{4}\1\d{4}\1\d{1,7}|3\d{3}([ -]?)\d{6}\2\d{5})(?![\w-]|\.\d)",
        signs=string.digits,
    ),
    _shape(
        Kind.SSN,
        r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])",
        signs=string.digits,
    ),
    _shape(
        Kind.PHONE,
        r"(?<![\w.+])\+[1-9]\d{0,2}(?:[ .-]?(?:\(\d{1,4}\)|\d{1,4})){2,6}(?!\w)"
        r"|(?<![\w.-])\(\d{2,5}\) ?\d{3,4}[ .-]\d{3,5}(?![\w-])"
        r"|(?<![\w.-])[2-9]\d{2}([.-])[2-9]\d{2}\1\d{4}(?![\w-]|\.\d)"
        r"|(?<![\w.,-])(?<!\d )0\d{1,4}[ /]\d{2,4}(?:[ -]?\d{2,4}){1,3}(?![\w-]|[.,]\d| \d)",
        signs=string.digits,
    ),
)
_IBAN_LENGTHS = {
    "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IS": 26,
    "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15,
    "PL": 28, "PT": 25, "RO": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29,
}  # fmt: skip
_LONGEST_PHONE = 15
# What is none of this holds nothing: every shape has a digit, an @, or more letters than that.
# A model's tokens are mostly short words, and there are thousands of them.
_MAYBE = re.compile(r"[\d@]|.{15}", re.ASCII | re.DOTALL)
_MOST_PASSES = 5
_PLACEHOLDER = re.compile(r"\[(" + "|".join(Kind) + r") (\d+)\]")
LONGEST_PLACEHOLDER = max(map(len, Kind)) + len("[ 999999]")
"""Characters; a text that is longer is none."""


def find(text: str) -> list[Found]:
    """What the patterns find, in order, without overlaps: the earlier, then the longer one."""
    if _MAYBE.search(text) is None:
        return []
    small = text.lower()
    shapes = [shape for shape in _SHAPES if _is_in(small, shape.signs)]
    return _apart(one for shape in shapes for one in _of_shape(shape, text))


def _matches_any(shapes: Sequence[_Shape], text: str) -> bool:
    small = text.lower()
    return any(_is_in(small, shape.signs) and shape.pattern.search(text) for shape in shapes)


def _is_in(text: str, signs: Sequence[str]) -> bool:
    for sign in signs:  # noqa: SIM110 - a generator would cost more than what it looks through
        if sign in text:
            return True
    return False


def _of_shape(shape: _Shape, text: str) -> Iterator[Found]:
    at = 0
    while match := shape.pattern.search(text, at):
        name = next((one for one in ("it", "basic") if match.groupdict().get(one)), 0)
        start, end = match.span(name)
        if shape.kind is Kind.PHONE and text[start] == "+":
            end = start + len(_shortened(text[start:end]))
        if end > start and _is_valid(shape.kind, text[start:end]):
            yield Found(kind=shape.kind, start=start, end=end)
            at = end
        else:
            # What is none may overlap with what is one.
            at = match.start() + 1


class Redactor:
    """Redacts the texts of one run: the same value is always the same placeholder.

    Values of ``reversible`` kinds are kept, so that ``restore`` can put them back where a model
    wrote their placeholder; of the others only a hash is. ``known`` carries on from an earlier
    ``mapping`` of the same run.
    """

    def __init__(
        self,
        *,
        kinds: frozenset[Kind] = frozenset(Kind),
        reversible: frozenset[Kind] = frozenset(),
        finder: Finder = find,
        known: Mapping[str, str] | None = None,
    ) -> None:
        self._kinds = kinds
        self._reversible = reversible
        self._finder = finder
        self._shapes = tuple(shape for shape in _SHAPES if shape.kind in kinds)
        self._values: dict[str, str] = {}
        self._placeholders: dict[tuple[Kind, str], str] = {}
        self._next = dict.fromkeys(Kind, 1)
        for placeholder, value in (known or {}).items():
            match = _PLACEHOLDER.fullmatch(placeholder)
            if match is None:
                raise ValueError(f"{placeholder!r} is no placeholder")
            kind = Kind(match[1])
            self._next[kind] = max(self._next[kind], int(match[2]) + 1)
            self._values[placeholder] = value
            self._placeholders[kind, _hash(value)] = placeholder

    @property
    def mapping(self) -> Mapping[str, str]:
        """Placeholder to value, of the reversible kinds."""
        return dict(self._values)

    def redact(self, text: str) -> str:
        """The text with placeholders. A placeholder that stood there is not given out again."""
        for match in _PLACEHOLDER.finditer(text) if "[" in text else ():
            kind = Kind(match[1])
            if match[0] not in self._placeholders.values():
                self._next[kind] = max(self._next[kind], int(match[2][:9]) + 1)
        for _ in range(_MOST_PASSES):
            # What stood beside something that went may be plain to see only now.
            before, text = text, self._once(text)
            if text == before:
                break
        return text

    def _once(self, text: str) -> str:
        written, at = [], 0
        for one in _apart(one for one in self._finder(text) if one.kind in self._kinds):
            written += [
                text[at : one.start],
                self._placeholder(one.kind, text[one.start : one.end]),
            ]
            at = one.end
        return "".join([*written, text[at:]])

    def leaves(self, texts: Iterable[str]) -> bool:
        """Whether ``redact`` would surely change none of these texts: one look at all of them
        together, which is far quicker. It tells nothing where it says no."""
        if not self._kinds:
            return True
        if self._finder is not find:
            return False
        # No pattern looks for a line's beginning or end, or for what is not a line feed: what is
        # found in a text is found there too.
        text = "\n".join(texts)
        if "[" in text and _PLACEHOLDER.search(text):
            return False
        return not _matches_any(self._shapes, text)

    def redact_all(self, value: Any) -> Any:
        """Every text in plain JSON redacted, keys of objects too."""
        return _changed(value, self.redact)

    def restore(self, text: str) -> str:
        """The text with the values of reversible kinds in the place of their placeholders."""
        return _PLACEHOLDER.sub(lambda match: self._values.get(match[0], match[0]), text)

    def restore_all(self, value: Any) -> Any:
        """Every text in plain JSON restored, keys of objects too."""
        return _changed(value, self.restore)

    def _placeholder(self, kind: Kind, value: str) -> str:
        key = (kind, _hash(value))
        if key not in self._placeholders:
            placeholder = f"[{kind} {self._next[kind]}]"
            self._next[kind] += 1
            self._placeholders[key] = placeholder
            if kind in self._reversible:
                self._values[placeholder] = value
        return self._placeholders[key]


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    match value:
        case str():
            return change(value)
        case dict() | Mapping():
            return {_changed(key, change): _changed(one, change) for key, one in value.items()}
        case list() | tuple():
            return [_changed(one, change) for one in value]
        case _:
            return value


def _apart(found: Iterable[Found]) -> list[Found]:
    kept: list[Found] = []
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
        elif one.end > kept[-1].end:
            kept[-1] = Found(kind=kept[-1].kind, start=kept[-1].start, end=one.end)
    return kept


def _is_valid(kind: Kind, text: str) -> bool:
    digits = re.sub(r"[^0-9]", "", text)
    match kind:
        case Kind.CARD:
            return 13 <= len(digits) <= 19 and digits[0] in "23456" and is_luhn(digits)
        case Kind.IBAN:
            return is_iban(text)
        case Kind.PHONE:
            return 8 <= len(digits) <= _LONGEST_PHONE and len(set(digits)) > 2
        case _:
            return _PLACEHOLDER.search(text) is None


def _shortened(phone: str) -> str:
    """Without the groups of digits that are beyond the longest number, which stand behind it."""
    while sum(letter.isdigit() for letter in phone) > _LONGEST_PHONE:
        phone = re.sub(r"[ .-]?\(?[0-9]{1,4}\)?$", "", phone)
    return phone


def is_luhn(digits: str) -> bool:
    """Whether the last digit checks the others, and they are not all the same."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        doubled = int(digit) * (1 + at % 2)
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0 and len(set(digits)) > 1


def is_iban(text: str) -> bool:
    """Whether an IBAN, with or without spaces, has its country's length and right check digits."""
    plain = text.replace(" ", "")
    if len(plain) != _IBAN_LENGTHS.get(plain[:2], len(plain)) or not 15 <= len(plain) <= 34:
        return False
    return int("".join(str(int(letter, 36)) for letter in plain[4:] + plain[:4])) % 97 == 1


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode("utf-8", errors="surrogatepass")).hexdigest()


def spans(found: Sequence[Found], text: str) -> list[str]:
    """The pieces of a text that were found, for those who tune a finder."""
    return [text[one.start : one.end] for one in found]
