"""Questions with known documents: the sets of `../shared/data`, no part of the repository."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Question:
    """``kind`` tells the questions of one set apart."""

    id: str
    text: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """A document of a set."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Judged:
    """Questions over documents, and which documents answer them: ``qrels[question][document]``."""

    name: str
    documents: Sequence[Text]
    questions: Sequence[Question]
    qrels: Mapping[str, Mapping[str, int]]


def load(name: str, *, folder: Path = DATA, training: bool = False) -> Judged:
    """A set by the name of its folder. Raises FileNotFoundError."""
    home, part = folder / name, "_train" if training else ""
    qrels: dict[str, dict[str, int]] = {}
    for line in (home / f"qrels{part}.tsv").read_text("utf-8").splitlines()[1:]:
        question, document, grade = line.split("\t")
        if int(grade) > 0:
            qrels.setdefault(question, {})[document] = int(grade)
    questions = [
        Question(id=row["_id"], text=row["text"], kind=row.get("metadata", {}).get("kind", ""))
        for row in _rows(home / f"queries{part}.jsonl")
        if row["_id"] in qrels
    ]
    documents = [
        Text(id=row["_id"], title=row.get("title", ""), text=row["text"])
        for row in _rows(home / "corpus.jsonl")
    ]
    return Judged(name=name, documents=documents, questions=questions, qrels=qrels)


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
