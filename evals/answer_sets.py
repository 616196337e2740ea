"""The sets that whole answers are measured on: questions, gold answers, gold places, documents."""

from __future__ import annotations

import csv
import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from evals.questions import Kind, Question, QuestionsError
from evals.questions import load as load_questions

HANDBOOK: Final = "handbook"
ANTHROPIC: Final = "anthropic_docs"
UNANSWERABLE: Final = "unanswerable"
_OWN: Final = Path(__file__).with_name("unanswerable.json")
SETS: Final = (HANDBOOK, UNANSWERABLE, ANTHROPIC)


class Absent(Exception):  # noqa: N818
    """A set whose data is not on this machine; the message says what is missing."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One question of a set.

    ``documents`` names the documents it is asked about, ``answer`` the gold answer, empty where
    they have none. ``gold`` are the files of which one has to be cited. ``question`` is there where
    an answer can be judged right or wrong by its patterns.
    """

    id: str
    set: str
    documents: str
    text: str
    answer: str
    gold: frozenset[str] = frozenset()
    question: Question | None = None

    @property
    def answerable(self) -> bool:
        return bool(self.answer)

    @property
    def key(self) -> str:
        """What a stored result is known by: it changes with the question."""
        told = json.dumps([self.set, self.id, self.text, self.answer, sorted(self.gold)])
        return f"{self.set}/{self.id}/{hashlib.sha256(told.encode()).hexdigest()[:12]}"


class _Open(BaseModel):
    """A question that the documents cannot answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    documents: str
    question: str


_OPEN: Final[TypeAdapter[tuple[_Open, ...]]] = TypeAdapter(tuple[_Open, ...])


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where the sets lie: the example handbook, its questions, and the data set's folder."""

    handbook: Path = Path("examples/handbook")
    questions: Path = Path("examples/questions.json")
    anthropic: Path = Path("../shared/data/anthropic_docs")
    unanswerable: Path = _OWN


def cases(names: Sequence[str], *, places: Places, limit: int | None, seed: int) -> list[Case]:
    """The questions of the named sets, in the sets' order; ``limit`` of each, drawn by ``seed``.

    Raises:
        QuestionsError: a file cannot be used.
        Absent: a set's data is not there.
    """
    found: list[Case] = []
    for name in names:
        whole = _LOADERS[name](places)
        if limit is not None and limit < len(whole):
            drawn = set(random.Random(f"{seed}/{name}").sample(range(len(whole)), limit))
            whole = [case for index, case in enumerate(whole) if index in drawn]
        found += whole
    return found


def _handbook(places: Places) -> list[Case]:
    return [
        Case(
            id=one.id,
            set=HANDBOOK,
            documents=HANDBOOK,
            text=one.question,
            answer="" if one.kind is Kind.UNANSWERABLE else one.answer,
            gold=frozenset(one.sources),
            question=one,
        )
        for one in load_questions(places.questions)
    ]


def _unanswerable(places: Places) -> list[Case]:
    try:
        asked = _OPEN.validate_json(places.unanswerable.read_bytes())
    except OSError as error:
        raise QuestionsError(f"cannot read {places.unanswerable}: {error.strerror}") from error
    except ValidationError as error:
        raise QuestionsError(f"{places.unanswerable}: {error.errors()[0]['msg']}") from error
    there = (places.anthropic / "corpus.jsonl").is_file()
    return [
        Case(id=one.id, set=UNANSWERABLE, documents=one.documents, text=one.question, answer="")
        for one in asked
        if there or one.documents != ANTHROPIC
    ]


def _anthropic(places: Places) -> list[Case]:
    folder = places.anthropic
    needed = [folder / name for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv")]
    if missing := [path.name for path in needed if not path.is_file()]:
        raise Absent(f"{folder} has no {', '.join(missing)}")
    names = {one["_id"]: name for name, one in _sections(folder)}
    gold: dict[str, set[str]] = {}
    with (folder / "qrels.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if int(row["score"]) > 0 and row["corpus-id"] in names:
                gold.setdefault(row["query-id"], set()).add(names[row["corpus-id"]])
    return [
        Case(
            id=one["_id"],
            set=ANTHROPIC,
            documents=ANTHROPIC,
            text=one["text"],
            answer=one["metadata"]["answer"],
            gold=frozenset(gold.get(one["_id"], ())),
        )
        for one in _rows(folder / "queries.jsonl")
    ]


_LOADERS: Final = {HANDBOOK: _handbook, UNANSWERABLE: _unanswerable, ANTHROPIC: _anthropic}


def write_documents(name: str, *, places: Places, into: Path) -> Path:
    """The folder that holds a set's documents as files; sections of a corpus are written there.

    Raises:
        Absent: the data is not there.
    """
    if name == HANDBOOK:
        return places.handbook
    if not (places.anthropic / "corpus.jsonl").is_file():
        raise Absent(f"{places.anthropic} has no corpus.jsonl")
    folder = into / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, one in _sections(places.anthropic):
        title, text = one["title"].strip(), one["text"].strip()
        body = text.removeprefix(title).strip()
        (folder / file).write_text(f"# {title}\n\n{body or title}\n", encoding="utf-8")
    return folder


def _sections(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Each section of the corpus with the name of its file."""
    named = []
    for number, one in enumerate(_rows(folder / "corpus.jsonl")):
        tail = re.sub(r"[^a-z0-9]+", "-", one["_id"].rsplit("/", 1)[-1].lower()).strip("-")
        named.append((f"{number:03d}-{tail[:60] or 'section'}.md", one))
    return named


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(row) for row in path.read_text("utf-8").splitlines() if row.strip()]
