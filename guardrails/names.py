"""Names of people and places, which have no shape: found by Presidio with a model of spaCy's.

An extra (``.[presidio]``), beside the patterns. Only its recognizer of entities is
used: the others look for shapes that the patterns know, and one of them asks the internet.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from guardrails.redaction import Finder, Found, Kind, find

_KINDS = {"PERSON": Kind.PERSON, "LOCATION": Kind.PLACE}


class NamesUnavailableError(Exception):
    """Names cannot be found here; the message says what to install."""


class Names:
    """A finder of names, and of all that ``beside`` finds. Slow: milliseconds for a page of text.

    ``model`` is a package or a folder of spaCy's, ``language`` its two-letter code. Raises
    NamesUnavailableError; nothing is downloaded.
    """

    def __init__(self, *, model: str, language: str, beside: Finder = find) -> None:
        self._engine = _engine(model, language)
        self._language = language
        self._beside = beside

    def __call__(self, text: str, /) -> Iterable[Found]:
        yield from self._beside(text)
        for one in self._engine.analyze(
            text, language=self._language, entities=list(_KINDS), score_threshold=0.5
        ):
            yield Found(kind=_KINDS[one.entity_type], start=one.start, end=one.end)


def _engine(model: str, language: str) -> Any:
    if importlib.util.find_spec("presidio_analyzer") is None:
        raise NamesUnavailableError(
            "presidio is not installed: `.venv/bin/pip install -c constraints.txt "
            "-e '.[presidio]'` in Counterpoint's folder"
        )
    if importlib.util.find_spec(model) is None and not Path(model).is_dir():
        raise NamesUnavailableError(
            f"spaCy's model {model} is not installed: "
            f"`.venv/bin/python -m spacy download {model}`, or name the folder of another"
        )
    # Late: they take a second to import.
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NlpEngineProvider
    from presidio_analyzer.predefined_recognizers import SpacyRecognizer

    models = [{"lang_code": language, "model_name": model}]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    recognizer = SpacyRecognizer(supported_language=language, supported_entities=list(_KINDS))
    return AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=[recognizer], supported_languages=[language]),
        nlp_engine=provider.create_engine(),
        supported_languages=[language],
    )
