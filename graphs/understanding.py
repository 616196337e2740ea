"""What can be understood of a question without asking a model. Pure.

Whether it stands alone, whether its rewriting kept what it asked, which of the collection's fields
it names, and whether what was found is too thin to be read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from guardrails import grounding

Passage = Mapping[str, Any]

# Below both, what was found shares too little with the question to be worth reading.
THIN_SHARE = 0.5
THIN_DENSE = 0.35
MOST_FILTERS = 3

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
    """The rewriting, or message and question before it where the rewriting lost a word or number.

    A small model that completes a follow-up sometimes repeats the old question instead.
    """
    if not rewritten.strip():
        return message
    lost = grounding.missing_words(message, [rewritten])
    if not lost and not grounding.unsupported_numbers(message, [rewritten]):
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
    texts = [
        " ".join([str(one.get("title") or ""), *one.get("heading", ()), str(one["text"])])
        for one in passages
    ]
    there = 1 - len(grounding.missing_words(question, texts)) / len(words)
    known = [
        score for one in passages if (score := (one.get("scores") or {}).get("dense")) is not None
    ]
    return there < THIN_SHARE and max(known, default=0.0) < THIN_DENSE


def filters_of(question: str, fields: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """Conditions that the question names: values of the collection's fields that stand in it.

    A value counts as whole words, in its own spelling but for case; a number needs its field's
    name beside it, except a year. Two values of one field are one condition that either fits.
    A value that tells nothing apart, because it is the field's only one, is none.
    """
    found: dict[str, Any] = {}
    for name, values in fields.items():
        if len(values) < 2:
            continue
        named = [value for value in values if _names(question, value, field=name)]
        if named and len(named) < len(values):
            found[name] = named[0] if len(named) == 1 else named
        if len(found) == MOST_FILTERS:
            break
    return found


def known_filters(
    asked: Mapping[str, Any], fields: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], list[str]]:
    """A model's conditions that the collection can meet, and the names of those it cannot."""
    kept_ones: dict[str, Any] = {}
    dropped: list[str] = []
    for name, wanted in asked.items():
        among = [value for value in fields.get(name, ()) if _same(value, wanted)]
        if among:
            kept_ones[name] = among[0]
        else:
            dropped.append(name)
    return kept_ones, dropped


def _same(value: Any, wanted: Any) -> bool:
    return str(value).casefold() == str(wanted).strip().casefold()


def _names(question: str, value: Any, *, field: str) -> bool:
    text = str(value).strip()
    if isinstance(value, bool) or len(text) < 2:
        return False
    number = re.fullmatch(r"\d+(?:\.\d+)?", text)
    if number and not re.fullmatch(r"(?:19|20)\d\d", text):
        text_pattern = rf"{re.escape(field)}\W{{0,3}}(?:number\W)?{re.escape(text)}"
    elif not number and not re.search(r"[^\W\d_]{3}", text):
        return False
    else:
        text_pattern = re.escape(text)
    return bool(re.search(rf"(?<!\w){text_pattern}(?!\w)", question, re.IGNORECASE))
