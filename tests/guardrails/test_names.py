"""Names by Presidio, over a model of spaCy's that a test makes: it knows two entities."""

from __future__ import annotations

import warnings

import pytest

from guardrails.names import Names, NamesUnavailableError
from guardrails.redaction import Kind, Redactor

pytest.importorskip("presidio_analyzer", reason="presidio is not installed")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    with warnings.catch_warnings():
        # What its own imports complain of is not ours to mend.
        warnings.simplefilter("ignore")
        import spacy
    pipeline = spacy.blank("en")
    rules = pipeline.add_pipe("entity_ruler")
    rules.add_patterns(  # type: ignore[attr-defined]
        [{"label": "PERSON", "pattern": "Ada Lovelace"}, {"label": "GPE", "pattern": "Ockham"}]
    )
    folder = tmp_path_factory.mktemp("spacy") / "model"
    pipeline.to_disk(folder)
    return str(folder)


def test_names_and_patterns_are_found_side_by_side(model: str) -> None:
    redactor = Redactor(finder=Names(model=model, language="en"), reversible=frozenset(Kind))
    text = "Ada Lovelace of Ockham, ada@example.org"
    assert redactor.redact(text) == "[person 1] of [place 1], [email 1]"
    assert redactor.restore("Dear [person 1] of [place 1]") == "Dear Ada Lovelace of Ockham"


def test_a_model_that_is_not_there_is_named_and_nothing_is_downloaded() -> None:
    with pytest.raises(NamesUnavailableError, match="spacy download no_such_model"):
        Names(model="no_such_model", language="en")
