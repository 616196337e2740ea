"""What a reader gets: the draft with numbered sources, or honest words without one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from agents import coder
from graphs import evidence, making, phrases
from graphs.events import Citation, Source
from graphs.state import Finding
from guardrails import citations, grounding, spans


@dataclass(frozen=True, kw_only=True)
class Composed:
    """An answer ready to be sent; ``code`` is what computed it, empty where nothing did."""

    text: str
    sources: tuple[Source, ...]
    code: str = ""


def draft_of(finding: Finding, *, findings: Sequence[Finding]) -> str:
    """A computed finding as a draft: how it was worked out, as far as that is grounded, and what
    the program printed. The model's own words stay where they state the result.
    """
    output = " ".join(finding["output"].split())
    words = finding["text"].strip()
    if finding.get("worded") and _tells(words, finding, findings=findings):
        return words
    if grounding.numbers(output) and grounding.numbers(output) <= grounding.numbers(words):
        return words
    supports = [str(passage["text"]) for one in findings for passage in one["sources"]]
    supports += [finding["instruction"], output]
    loose = [problem.claim for problem in grounding.ungrounded_claims(words, supports)]
    kept = without_claims(words, loose)
    told = phrases.of(finding["instruction"]).result.format(output=output.rstrip("."))
    return " ".join(filter(None, [kept, told]))


def _tells(words: str, finding: Finding, *, findings: Sequence[Finding]) -> bool:
    """Whether words about an output say something of it, and nothing that is not in it."""
    outputs = [finding["output"], *making.outputs_of([finding])]
    figures = set().union(*map(grounding.numbers, outputs))
    if not words or (figures and not figures & grounding.numbers(words)):
        return False
    supports = [str(passage["text"]) for one in findings for passage in one["sources"]]
    return not grounding.ungrounded_claims(words, [*supports, finding["instruction"], *outputs])


def without_repetitions(draft: str) -> str:
    """The draft without sentences that state only what an earlier one has stated."""
    kept: list[str] = []

    def repeats(sentence: str) -> bool:
        before = " ".join(kept)
        figures = grounding.numbers(sentence)
        if figures and figures <= grounding.numbers(before):
            said = {grounding.stem(word) for word in grounding.words(before)}
            if all(grounding.stem(one) in said for one in grounding.content_words(sentence)):
                return True
        kept.append(sentence)
        return False

    return grounding.without_sentences(draft, drop=repeats)


def in_a_row(findings: Sequence[Finding]) -> str:
    """The findings one after another; each numbered its passages for itself, so no marks stay."""
    texts = [citations.without_marks(one["text"]) for one in findings if one["found"]]
    return without_repetitions(" ".join(texts))


def joined(findings: Sequence[Finding]) -> str | None:
    """The draft where no writer is needed: a computed result, or a single finding; else None."""
    found = [finding for finding in findings if finding["found"]]
    computed = [finding for finding in found if finding["output"].strip()]
    if computed:
        return draft_of(computed[-1], findings=findings)
    if len(found) != 1:
        return None
    return found[0]["text"]


def _with_missing(text: str, findings: Sequence[Finding], *, words: phrases.Phrases) -> str:
    """The answer, and which parts of the question it leaves open: no claims, so never cited."""
    last = max((finding["round"] for finding in findings), default=0)
    now = [one for one in findings if one["round"] == last]
    computed = any(one["found"] and one["output"] for one in now)
    missing = [] if computed else [one for one in now if not one["found"]]
    notes = [one["note"] for one in now if one["found"] and one.get("note")]
    return " ".join([text, *(_missing(one, words=words) for one in missing), *notes])


def _missing(finding: Finding, *, words: phrases.Phrases) -> str:
    if finding["agent"] == coder.NAME:
        return words.not_computed
    return words.part_missing.format(part=finding["instruction"])


def for_writer(findings: Sequence[Finding], *, question: str) -> str:
    """The findings as a writer reads them."""
    lines = [
        f"- {one['instruction']} {one['text'] if one['found'] else 'The documents do not say.'}"
        for one in findings
    ]
    return "Findings:\n" + "\n".join(lines) + f"\n\nQuestion: {question}"


def without_claims(draft: str, claims: Sequence[str]) -> str:
    """The draft without the sentences that are not supported."""
    return grounding.without_sentences(draft, drop=set(claims).__contains__)


def compose(
    *,
    draft: str,
    question: str,
    findings: Sequence[Finding],
    stop_reason: str,
    round_number: int = 0,
) -> Composed:
    """The final text and its sources, by what the run came to.

    The words of findings before ``round_number`` have been refused by the critic.
    """
    code = next((finding["code"] for finding in reversed(findings) if finding["output"]), "")
    words = phrases.of(question)
    if stop_reason in phrases.REASONS:
        known = draft or _counted([one for one in findings if one["round"] >= round_number])
        return _partial(known, findings, reason=stop_reason, code=code, words=words)
    if not draft:
        found_any = any(finding["sources"] for finding in findings)
        nothing_there = findings and not found_any
        text = words.empty if nothing_there else words.not_found.format(question=question)
        why = next((one["unsearched"] for one in findings if one.get("unsearched")), "")
        if why and not found_any:
            text = words.unsearched.format(why=why.strip().rstrip("."))
        if findings and all(finding["agent"] == coder.NAME for finding in findings):
            text = words.not_computed
        return Composed(text=text, sources=())
    # What led to nothing is no source, however well it would fit the words.
    passages = _passages([finding for finding in findings if finding["found"]])
    if not passages:
        return Composed(text=citations.without_marks(draft), sources=(), code=code)
    text, used = citations.cite(draft, [str(passage["text"]) for passage in passages])
    if not used and code:
        # The result is new, but the facts that the code states come from somewhere.
        used = _behind_code(code, passages)
        text = citations.attach(text, "".join(f"[{n}]" for n in range(1, len(used) + 1)))
    elif code:
        used = [*used, *(index for index in _behind_code(code, passages) if index not in used)]
    sources = _sources(passages, used)
    return Composed(text=_with_missing(text, findings, words=words), sources=sources, code=code)


def citations_of(text: str, sources: Sequence[Source]) -> list[Citation]:
    """What each sentence of a finished answer rests on: the place in the document, narrowed to the
    sentences that bear it.
    """
    by_number = {source.number: source for source in sources}
    texts = {number: (one.text, one.span) for number, one in by_number.items()}
    found = []
    for claim in spans.claims(text):
        for number, (start, end), there in spans.cited(claim, texts):
            source = by_number[number]
            found.append(
                Citation(
                    number=number,
                    start=claim.start,
                    end=claim.end,
                    document_id=source.document_id,
                    chunk_id=source.chunk_id,
                    source=source.source,
                    page=source.page,
                    span=there,
                    text=source.text[start:end],
                )
            )
    return found


def _counted(findings: Sequence[Finding]) -> str:
    """The findings as far as their numbers come from somewhere; no critic has seen them."""
    text = in_a_row(findings)
    passages = [passage for one in findings for passage in one["sources"]]
    stated = [str(passage["text"]) for passage in passages]
    stated += [*map(evidence.place, passages), *(one["instruction"] for one in findings)]
    stated += [*(one["output"] for one in findings), *making.outputs_of(findings)]
    return without_claims(text, [one.claim for one in grounding.ungrounded_claims(text, stated)])


def _partial(
    known: str, findings: Sequence[Finding], *, reason: str, code: str, words: phrases.Phrases
) -> Composed:
    """What is known so far, marked as stopped and why."""
    lead = words.partial.format(reason=words.reasons[reason])
    passages = _passages(findings)
    if known:
        text, used = citations.cite(known, [str(passage["text"]) for passage in passages])
        text = f"{lead} {words.so_far} {text}"
    else:
        used = list(range(min(3, len(passages))))
        text = f"{lead} {words.listed if used else words.nothing}"
    notes = [finding["note"] for finding in findings if finding.get("note")]
    text = " ".join([text, *notes])
    return Composed(text=text, sources=_sources(passages, used), code=code)


def _sources(passages: Sequence[dict[str, object]], used: Sequence[int]) -> tuple[Source, ...]:
    """The used passages, numbered from 1 as their marks are."""
    return tuple(
        evidence.source(passages[index], number=number) for number, index in enumerate(used, 1)
    )


def _passages(findings: Sequence[Finding]) -> list[dict[str, object]]:
    last = max((finding["round"] for finding in findings), default=0)
    now = [finding["sources"] for finding in findings if finding["round"] == last]
    before = [finding["sources"] for finding in findings if finding["round"] != last]
    return evidence.merge(evidence.interleave(now), evidence.interleave(before))


def _behind_code(code: str, passages: Sequence[dict[str, object]]) -> list[int]:
    """The passage that shares most numbers with the code, then one that adds to it."""
    return citations.supporting(code, [str(passage["text"]) for passage in passages])
