"""Questions with known answers: what is asked, what counts as right, where it stands."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)


class QuestionsError(Exception):
    """A file of questions that cannot be used; the message names the file and the fault."""


class Kind(StrEnum):
    """What an answer takes: one passage, two files, arithmetic, or a plain word of not knowing."""

    LOOKUP = "lookup"
    TWO_DOCUMENTS = "two_documents"
    COMPUTATION = "computation"
    UNANSWERABLE = "unanswerable"


def _compiles(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


Pattern = Annotated[str, Field(min_length=1), AfterValidator(_compiles)]


class Question(BaseModel):
    """One question.

    ``accept`` lists alternatives; of one alternative every pattern must occur. ``reject`` must not
    occur at all. Patterns are regular expressions over the normalised answer (see
    ``evals.judge.normalise``). ``sources`` are file names, of which one must be cited, or each
    with ``all_sources``. ``subject`` and ``beside`` belong to unanswerable questions: words for
    what is asked, and for what the documents do say nearby.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    question: str = Field(min_length=1)
    kind: Kind
    answer: str = Field(min_length=1)
    accept: tuple[tuple[Pattern, ...], ...] = ()
    reject: tuple[Pattern, ...] = ()
    subject: tuple[Pattern, ...] = ()
    beside: tuple[Pattern, ...] = ()
    sources: tuple[str, ...] = ()
    all_sources: bool = False

    @model_validator(mode="after")
    def _can_be_judged(self) -> Self:
        if self.kind is Kind.UNANSWERABLE:
            if not self.subject:
                raise ValueError(f"{self.id}: an unanswerable question needs `subject`")
        elif not self.accept or not all(self.accept) or not self.sources:
            raise ValueError(f"{self.id}: needs `accept` and `sources`")
        return self


_QUESTIONS: TypeAdapter[tuple[Question, ...]] = TypeAdapter(tuple[Question, ...])


def load(path: Path) -> tuple[Question, ...]:
    """The questions of a JSON file, in its order.

    Raises:
        QuestionsError: the file is missing, is not such a list, or repeats an id.
    """
    try:
        questions = _QUESTIONS.validate_json(path.read_bytes())
    except OSError as error:
        raise QuestionsError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise QuestionsError(f"{path}: {where}: {first['msg']}") from error
    ids = [question.id for question in questions]
    for name in ids:
        if ids.count(name) > 1:
            raise QuestionsError(f"{path}: the id {name!r} occurs twice")
    return questions
