"""Deterministic checks of an answer against its evidence; they stand beside the model critic.

A small critic agrees with everything, so what can be counted is counted: does every number come
from somewhere, do the words that make the question special occur in what was found.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeVar

from guardrails import languages

T = TypeVar("T")

_NUMBER = re.compile(
    r"(?<![\w.])\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?:\.\d+)?(?!\w)"
    r"|(?P<parts>\d+(?:\.\d+){2,})|\d+(?:\.\d+)?"
)
MARK = r"(?:\[[1-9]\d{0,2}(?:\s*,\s*[1-9]\d{0,2})*\]|(?<=\s)\[0\])"
"""Of a citation. Nothing has the number 0, so `items[0]` is none."""
INLINE_CODE = r"(?:(?<!`)(?P<ticks>`+)(?!`)[^\n]*?(?<!`)(?P=ticks)(?!`))"
_CITATION = re.compile(MARK)
_CODE = re.compile(INLINE_CODE)
# "1.200,50" and "12,5", as most of the world beside the English writes it.
_POINTED = re.compile(
    r"(?<![\w.,])(?:\d{1,3}(?:[.\u00a0\u202f]\d{3})+(?:,\d+)?|\d+,\d+)(?![\w,]|\.\d)"
)
_POINT = re.compile(r"[.\u00a0\u202f]")
_ITEM = re.compile(r"(?P<indent>[ \t]*)(?P<number>[1-9]\d{0,2})[.)][ \t]+(?=\S)")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?", re.UNICODE)
_PAIRED = re.compile(rf"[{languages.PAIRED}]+")
_ABBREVIATIONS = (
    r"e\.g i\.e z\.B d\.h u\.a No no Nos Nr nr Dr Mr Mrs Ms Prof St vs approx ca bzw inkl exkl "
    r"zzgl Abs Art Sec sec Fig fig Vol vol pp p"
).split()
SENTENCE_END = (
    r"(?:(?<=[.!?])"
    + "".join(rf"(?<!\b{one}\.)" for one in _ABBREVIATIONS)
    + r"\s+(?=[^\sa-z])|(?<=[。！？])\s*(?=[^\s。！？」』）”’]))"
)
_SENTENCE_END = re.compile(SENTENCE_END)

_LONGEST_REMEMBERED = 4_000

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_WORD_VALUES = {word: value for value, word in enumerate(_UNITS)}
_WORD_VALUES |= {word: 10 * (index + 2) for index, word in enumerate(_TENS)}
_WORD_VALUES |= {"hundred": 100, "thousand": 1000}

_COUNTED_ONE = re.compile(
    r"(?<![\d.,])1(?![.,]?\d)|\bone\s+(?:[^\W\d_]+\s+)?"
    r"(?:second|minute|hour|day|week|month|year|percent|euro?|dollar)s?\b",
    re.IGNORECASE,
)

_STOP_WORDS = frozenset(
    """a about above after again against all also always am an and any anyone anything are as ask
    at available be because been before being below between both but by call can cannot cost could
    day days did do does doing done down during each either else enough ever every few find first
    for from further get gets give given gives go goes going good got had happen happens has have
    having he help her here hers him his hour hours how i if in into is it its itself just keep know
    last least less let like long longer look made make makes many may maybe me might mine month
    months more most much must my myself need needs never new next no nor not nothing now of off
    often on once one only or other others our ours out over own per person please put receive
    receives same say says see send set she should show since so some someone something soon
    start still early late quickly fast
    such take takes tell than that the their theirs them then there these they thing things think
    this those through time times to today together tomorrow too total under until up upon us use
    used using very via want wants was way we week weeks well were what when where whether which
    while who whole whom whose why will with within without work would year years yes yesterday yet
    you your yours company employee employees document documents handbook policy policies rule rules
    anybody everybody somebody answer question exactly allowed amount value number maximum minimum
    """.split()
)


def _remembered(work: Callable[[str], frozenset[T]]) -> Callable[[str], frozenset[T]]:
    """Of short texts: a passage is looked at for each sentence of a draft, by several checks."""
    known = functools.lru_cache(maxsize=512)(work)

    @functools.wraps(work)
    def found(text: str) -> frozenset[T]:
        return known(text) if len(text) <= _LONGEST_REMEMBERED else work(text)

    return found


@_remembered
def numbers(text: str) -> frozenset[Decimal]:
    """Every number that a text states, in digits or in small words; citation marks do not count."""
    text = _CITATION.sub(" ", text)
    found: set[Decimal] = set()
    for match in _NUMBER.finditer(text):
        # "05.03.2026" and "3.11.7" are no decimals.
        parts = match["parts"].split(".") if match["parts"] else [match.group()]
        for part in parts:
            try:
                found.add(Decimal(re.sub(r"[,\u00a0\u202f]", "", part)).normalize())
            except InvalidOperation:
                continue
    spoken = iter([*(word.lower() for word in words(text)), ""])
    word = next(spoken)
    while word:
        following = next(spoken, "")
        value = _WORD_VALUES.get(word)
        unit = _WORD_VALUES.get(following, 0)
        if value is not None and word in _TENS and 0 < unit < 10:
            value, following = value + unit, next(spoken, "")
        if value is not None:
            found.add(Decimal(value).normalize())
        word = following
    return frozenset(found)


@_remembered
def claimed(text: str) -> frozenset[Decimal]:
    """The numbers that a sentence claims: "the monthly one" counts nothing, "one day" does."""
    found = numbers(text)
    return found if _COUNTED_ONE.search(text) else found - {Decimal(1)}


@_remembered
def readings(text: str) -> frozenset[Decimal]:
    """Every number that a text may state: of one that is not English also in its own notation."""
    found = numbers(text)
    if languages.is_foreign(text):
        found |= {
            Decimal(_POINT.sub("", one).replace(",", ".")).normalize()
            for one in _POINTED.findall(text)
        }
    return found


def unsupported_numbers(answer: str, supports: Iterable[str]) -> list[str]:
    """Numbers of ``answer`` that none of ``supports`` states, in ascending order."""
    known: set[Decimal] = set()
    for support in supports:
        known |= readings(support)
    return [f"{value:f}" for value in sorted(claimed(answer) - known)]


def words(text: str) -> list[str]:
    """The words of a text, as they stand; of languages that part none, pairs of letters."""
    return [part for word in _WORD.findall(text) for part in _apart(word)]


def _apart(word: str) -> list[str]:
    if word.isascii() or not _PAIRED.search(word):
        return [word]
    others = [part for part in _PAIRED.split(word) if part]
    pairs = [
        run[at : at + 2] for run in _PAIRED.findall(word) for at in range(max(1, len(run) - 1))
    ]
    return [*others, *pairs]


@functools.lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """A crude English stem: enough to match `refunds`, `refunded` and `refund`."""
    word = word.lower().removesuffix("'s").removesuffix("’s")
    for suffix in (
        "ations",
        "ation",
        "ments",
        "ment",
        "ings",
        "ing",
        "ies",
        "ied",
        "ed",
        "es",
        "ers",
        "er",
        "ly",
        "s",
        "e",
        "y",
    ):
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            word = word[: -len(suffix)]
            break
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word


@_remembered
def stems(text: str) -> frozenset[str]:
    """The stems of a text's words."""
    return frozenset(map(stem, words(text)))


def content_words(text: str) -> list[str]:
    """The words that make a question special, in order, each stem once."""
    seen: set[str] = set()
    kept = []
    foreign = languages.is_foreign(text)
    for word in words(text):
        lowered = word.lower()
        if lowered in _STOP_WORDS or (len(lowered) < 3 and not _PAIRED.fullmatch(lowered)):
            continue
        if foreign and lowered in languages.FUNCTION_WORDS:
            continue
        root = stem(lowered)
        if root not in seen:
            seen.add(root)
            kept.append(word)
    return kept


def missing_words(question: str, evidence: Iterable[str]) -> list[str]:
    """Content words of ``question`` whose stem occurs nowhere in ``evidence``."""
    roots = frozenset[str]().union(*map(stems, evidence))
    return [word for word in content_words(question) if stem(word) not in roots]


def item_numbers(text: str) -> dict[int, str]:
    """The numbers of a numbered list's items as they stand at the beginning of lines, by line.

    They count from 1 on, in twos at least: "45. That is the limit" numbers nothing.
    """
    found: dict[int, str] = {}
    begun: dict[str, list[tuple[int, str]]] = {}
    for place, line in enumerate(text.split("\n")):
        item = _ITEM.match(line)
        if item is None:
            continue
        items = begun.setdefault(item["indent"], [])
        if int(item["number"]) != len(items) + 1:
            items.clear()
        if int(item["number"]) == len(items) + 1:
            items.append((place, item.group()))
            found |= dict(items) if len(items) > 1 else {}
    return found


def sentences(text: str) -> list[str]:
    """The sentences or lines of an answer, without their surrounding space and list numbers."""
    numbered = item_numbers(text)
    lines = enumerate(text.split("\n"))
    return [one for place, line in lines for one in _parts(line[len(numbered.get(place, "")) :])]


def without_sentences(text: str, *, drop: Callable[[str], bool]) -> str:
    """The text without those of its ``sentences`` that are to be dropped, asked in order.

    Lines of which nothing is dropped stay as they are.
    """
    numbered = item_numbers(text)
    lines = []
    for place, line in enumerate(text.split("\n")):
        head = numbered.get(place) or line[: len(line) - len(line.lstrip())]
        parts = _parts(line[len(head) :])
        kept = [part for part in parts if not drop(part)]
        if kept == parts:
            lines.append(line)
        elif kept:
            lines.append(head + line_of(kept))
    return "\n".join(lines).strip()


def line_of(sentences: Iterable[str]) -> str:
    """The sentences one after another, with the space that their language puts between them."""
    spaced = [one if one.endswith(("。", "！", "？")) else f"{one} " for one in sentences]
    return "".join(spaced).rstrip(" ")


def _parts(line: str) -> list[str]:
    # What looks like a sentence's end within `a. b` is none.
    masked = _CODE.sub(lambda code: "`" * len(code.group()), line) if "`" in line else line
    parts, begun = [], 0
    for end in [*(stop.start() for stop in _SENTENCE_END.finditer(masked)), len(line)]:
        parts.append(line[begun:end].strip())
        begun = end
    return [part for part in parts if part]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One claim that does not hold, and why, in words for the next draft and for people."""

    claim: str
    reason: str


def ungrounded_claims(draft: str, supports: Sequence[str]) -> list[Problem]:
    """Sentences of ``draft`` with a number that no support states."""
    problems = []
    for sentence in sentences(draft):
        loose = unsupported_numbers(sentence, supports)
        if loose:
            stated = ", ".join(loose)
            problems.append(Problem(claim=sentence, reason=f"nothing found states {stated}"))
    return problems
