"""How good an answer with evidence is: token F1, cited gold places, honest refusals. Pure."""

from __future__ import annotations

import random
import re
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from evals import judge
from evals.answer_sets import Case
from graphs.events import RunFinished

RESAMPLES: Final = 1_000
_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
_MARK: Final = re.compile(r"\s*\[\d+(?:\s*,\s*\d+)*\]")
_NO_SIGNS: Final = str.maketrans(dict.fromkeys(string.punctuation, " "))


class Result(BaseModel):
    """One question asked and judged: what is kept of it.

    ``cited`` are the files of the answer's numbered sources, ``gold_cited`` how many of them are
    gold. ``right`` is None where no pattern can tell.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    key: str
    set: str
    id: str
    answerable: bool
    question: str
    gold_answer: str
    answer: str
    f1: float = Field(ge=0, le=1)
    refused: bool
    right: bool | None = None
    cited: tuple[str, ...] = ()
    gold_cited: int = 0
    citations: int = 0
    unsupported_share: float | None = None
    stop_reason: str = ""
    failure: str = ""
    seconds: float = 0.0
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


def tokens(text: str) -> list[str]:
    """The words that count: lower case, without signs, articles and citation marks (SQuAD's)."""
    text = _MARK.sub(" ", text).lower().replace("’", "'").translate(_NO_SIGNS)
    return _ARTICLES.sub(" ", text).split()


def token_f1(answer: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the words, with their counts; 0 to 1."""
    said, wanted = Counter(tokens(answer)), Counter(tokens(gold))
    common = sum((said & wanted).values())
    if not common:
        return 0.0
    precision, recall = common / said.total(), common / wanted.total()
    return 2 * precision * recall / (precision + recall)


def refused(finished: RunFinished) -> bool:
    """Whether an answer says that the documents do not contain it, instead of one."""
    if finished.stop_reason == "not_found":
        return True
    return not finished.sources and judge.says_absent(finished.answer)


def judged(
    case: Case, finished: RunFinished | None, *, seconds: float, failure: str = ""
) -> Result:
    """One answer judged; without one, ``failure`` says why."""
    if finished is None:
        return Result(
            key=case.key,
            set=case.set,
            id=case.id,
            answerable=case.answerable,
            question=case.text,
            gold_answer=case.answer,
            answer="",
            f1=0.0,
            refused=False,
            failure=failure or "no answer",
            seconds=seconds,
        )
    files = tuple(PurePosixPath(one.source.replace("\\", "/")).name for one in finished.sources)
    no = refused(finished)
    right = None
    if case.question is not None:
        word = judge.judge(case.question, finished.answer, files)
        right = word.correct and word.source_ok
    return Result(
        key=case.key,
        set=case.set,
        id=case.id,
        answerable=case.answerable,
        question=case.text,
        gold_answer=case.answer,
        answer=finished.answer,
        f1=0.0 if no or not case.answerable else token_f1(finished.answer, case.answer),
        refused=no,
        right=right,
        cited=files,
        gold_cited=sum(name in case.gold for name in files),
        citations=len(finished.citations),
        unsupported_share=finished.unsupported_share,
        stop_reason=finished.stop_reason,
        seconds=seconds,
        model_calls=finished.usage.model_calls,
        input_tokens=finished.usage.input_tokens,
        output_tokens=finished.usage.output_tokens,
    )


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A set's figures; shares are 0 to 1, None where nothing can be counted.

    ``f1`` is the mean over the answerable questions, a refusal counting 0, with its 95 % bootstrap
    interval. ``gold_share`` is the share of cited sources that are gold; ``gold_answers`` the
    share of answered questions that cite at least one.
    """

    asked: int
    failed: int
    right: tuple[int, int] | None
    f1: float | None
    f1_low: float | None
    f1_high: float | None
    gold_share: float | None
    gold_answers: float | None
    refused_answerable: float | None
    refused_unanswerable: float | None
    unsupported: float | None
    seconds: float | None
    model_calls: float | None


def figures(results: Sequence[Result], *, seed: int) -> Figures:
    """The figures of some results; failures are counted apart."""
    done = [one for one in results if not one.failure]
    answerable = [one for one in done if one.answerable]
    answered = [one for one in answerable if not one.refused]
    patterns = [one.right for one in done if one.right is not None]
    scores = [one.f1 for one in answerable]
    low, high = interval(scores, seed=seed)
    supported = [one.unsupported_share for one in answered if one.unsupported_share is not None]
    sources = sum(len(one.cited) for one in answered)
    return Figures(
        asked=len(results),
        failed=len(results) - len(done),
        right=(sum(patterns), len(patterns)) if patterns else None,
        f1=mean(scores),
        f1_low=low,
        f1_high=high,
        gold_share=sum(one.gold_cited for one in answered) / sources if sources else None,
        gold_answers=mean([float(one.gold_cited > 0) for one in answered]),
        refused_answerable=mean([float(one.refused) for one in answerable]),
        refused_unanswerable=mean([float(one.refused) for one in done if not one.answerable]),
        unsupported=mean(supported),
        seconds=mean([one.seconds for one in done]),
        model_calls=mean([float(one.model_calls) for one in done]),
    )


def interval(values: Sequence[float], *, seed: int) -> tuple[float | None, float | None]:
    """The 95 % bootstrap interval of a mean; None for fewer than two values."""
    if len(values) < 2:
        return None, None
    drawn = random.Random(seed)
    means = sorted(
        sum(drawn.choices(values, k=len(values))) / len(values) for _ in range(RESAMPLES)
    )
    return means[int(0.025 * RESAMPLES)], means[int(0.975 * RESAMPLES) - 1]


def mean(values: Iterable[float]) -> float | None:
    """The mean; None of nothing."""
    known = list(values)
    return sum(known) / len(known) if known else None
