"""What can be understood of a question without asking a model. Pure.

Whether it stands alone, whether its rewriting kept what it asked, and whether what was found is too
thin to be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from guardrails import grounding, languages

Passage = Mapping[str, Any]

# Below both, what was found shares too little with the question to be worth reading.
THIN_SHARE = 0.5
THIN_DENSE = 0.35
# Cosine of all-MiniLM-L6-v2. Measured: below it a third of the words was missing in 14 of 17
# questions that the example handbook does not answer, and in 1 of 109 that have an answer.
NEAR_DENSE = 0.5
UNSPOKEN_SHARE = 1 / 3

_REFERS = re.compile(
    r"\b(?:it|its|they|them|their|theirs|that|this|those|these|such|same|he|she|him|his|hers?|"
    r"one|ones|there|then|else|instead|otherwise|too|also|former|latter|another|again|either|"
    r"neither|both|above|previous|earlier|first|second|last|next|more|rest)\b",
    re.IGNORECASE,
)
_LEADS_ON = re.compile(
    r"^\s*(?:and|but|or|so|then|what about|how about|what if|even if|only|not|really|"
    r"are you sure|who else|where else)\b",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"^\s*(?:how|what|when|where|which|who|whom|whose|why|is|are|am|was|were|do|does|did|can|"
    r"could|may|must|should|shall|will|would|has|have|had|list|name|explain|describe|tell|show|"
    r"give|find|summari[sz]e|compare)\b",
    re.IGNORECASE,
)
_THANKS = re.compile(
    r"^\W*(?:(?:many\s+|no\s+)?thanks?(?:\s+you)?(?:\s+(?:so|very)\s+much|\s+a\s+lot)?|thx|ok|okay|"
    r"great|perfect|fine|hello|hi|hey|good\s+(?:morning|evening|afternoon|night)|bye|goodbye|"
    r"cheers)(?:\W+(?:thanks?(?:\s+you)?|all|everybody|there|then|bye))*\W*$",
    re.IGNORECASE,
)


_WHOLE = re.compile(
    r"\b(?:summari[sz]e|summary|sum\s+up|overview|outline|recap|gist|key\s+points|main\s+points|"
    r"takeaways|section\s+by\s+section|chapter\s+by\s+chapter|"
    r"across\s+(?:all\s+)?(?:its\s+|the\s+)?(?:sections|chapters|pages)|"
    r"in\s+(?:every|each|all)\s+(?:the\s+)?(?:sections?|chapters?))\b",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"\b(?:about|regarding|concerning|on the subject of|with regard to)\s+(?P<subject>.+?)"
    r"(?:\s+(?:across|in\s+(?:every|each|all|the)|section\s+by)\b.*)?[?.!]*$",
    re.IGNORECASE | re.DOTALL,
)
_ACROSS = re.compile(r"\bacross\b|\bsays?\b|\bin\s+(?:every|each|all)\b", re.IGNORECASE)


def wants_whole_document(question: str) -> bool:
    """Whether a question is about a whole document: a summary of it, or a subject throughout."""
    return bool(_WHOLE.search(question))


def query_of(question: str, *, longest: int = 200) -> str:
    """What is looked for where a question is too long to be searched with: its sentences that ask,
    the last ones where not all fit; without any, its beginning.
    """
    if len(question) <= longest:
        return question
    asking = [one for one in grounding.sentences(question) if one.endswith(("?", "？"))]
    kept: list[str] = []
    for sentence in reversed(asking):
        if kept and len(sentence) + sum(len(one) + 1 for one in kept) > longest:
            break
        kept.insert(0, sentence)
    return " ".join(kept)[-longest:] if kept else question[:longest]


def subject_of(question: str) -> str:
    """What a document is to be read for ("what does it say about X across sections"); else empty:
    in "a summary of the report about X" the words name the document.
    """
    found = _ABOUT.search(question) if _ACROSS.search(question) else None
    return found["subject"].strip(" ,?.!")[:200] if found else ""


def stands_alone(message: str) -> bool:
    """Whether a message in a conversation can be understood without it.

    Careful: only a whole question with two words of its own that points at nothing outside, or a
    mere greeting or thanks. Anything else is left to a model.
    """
    if _THANKS.match(message):
        return True
    if _REFERS.search(message) or _LEADS_ON.match(message) or not _ASKS.match(message):
        return False
    return len(grounding.content_words(message)) >= 2


def kept(message: str, rewritten: str, *, before: str) -> str:
    """The rewriting, or message and question before it where the rewriting lost a word or number,
    or there is none.

    A small model that completes a follow-up sometimes repeats the old question instead.
    """
    lost = grounding.missing_words(message, [rewritten])
    # "One" is a number to read, but "a monthly one" states none.
    digits = " ".join(re.findall(r"\d[\d.,]*", message))
    complete = bool(rewritten.strip()) and not lost
    if complete and not grounding.unsupported_numbers(digits, [rewritten]):
        return rewritten
    return f"{before} {message}".strip()


def thin(question: str, passages: Sequence[Passage]) -> bool:
    """Whether the passages are too thin to be read: none, or few of the question's words in them
    (under ``THIN_SHARE``) and none near it in meaning (cosine under ``THIN_DENSE``).
    """
    if not passages:
        return True
    words = grounding.content_words(question)
    if not words:
        return False
    there = 1 - len(grounding.missing_words(question, _texts(passages))) / len(words)
    return there < THIN_SHARE and (_nearest(passages) or 0.0) < THIN_DENSE


def unspoken(question: str, passages: Sequence[Passage]) -> list[str]:
    """Words of the question that what was found does not speak of, not even in other words.

    A word that stands in no passage may have a synonym there (a plan that one can return is
    refunded), which plain words cannot tell: so it counts only where no passage is near the
    question in meaning, either (cosine under ``NEAR_DENSE``), and where a third of the question's
    words is missing. Empty where that is not known, and for questions that are not English: the
    default embedder knows no nearness there.
    """
    nearest = _nearest(passages)
    if nearest is None or nearest >= NEAR_DENSE or languages.is_foreign(question):
        return []
    missing = grounding.missing_words(question, _texts(passages))
    few = len(missing) < UNSPOKEN_SHARE * len(grounding.content_words(question))
    return [] if few else missing


def _texts(passages: Sequence[Passage]) -> list[str]:
    return [
        " ".join([str(one.get("title") or ""), *(one.get("heading") or ()), str(one["text"])])
        for one in passages
    ]


def _nearest(passages: Sequence[Passage]) -> float | None:
    """The best cosine of the passages with their query; None where no search has told it."""
    known = [
        score for one in passages if (score := (one.get("scores") or {}).get("dense")) is not None
    ]
    return max(known, default=None)
