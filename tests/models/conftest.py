"""Weights that tests may use: those in the models folder, or a skip that says what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.catalogue import CHAT_SMALL, EMBEDDER_MODEL, EMBEDDER_TOKENIZER
from models.minilm import MiniLM
from server.settings import Settings


@dataclass(frozen=True, kw_only=True)
class EmbedderWeights:
    model: Path
    tokenizer: Path


@pytest.fixture(scope="session")
def models_folder() -> Path:
    return Settings().models_dir


@pytest.fixture(scope="session")
def embedder_weights(models_folder: Path) -> EmbedderWeights:
    weights = EmbedderWeights(
        model=models_folder / EMBEDDER_MODEL.filename,
        tokenizer=models_folder / EMBEDDER_TOKENIZER.filename,
    )
    if not (weights.model.is_file() and weights.tokenizer.is_file()):
        pytest.skip(f"no embedder in {models_folder}: run `counterpoint models pull embedder`")
    return weights


@pytest.fixture(scope="session")
def minilm(embedder_weights: EmbedderWeights) -> Iterator[MiniLM]:
    """One for the whole session: it belongs to no event loop, and opening costs half a second."""
    opened = asyncio.run(MiniLM.open(embedder_weights.model, tokenizer=embedder_weights.tokenizer))
    yield opened
    asyncio.run(opened.close())


@pytest.fixture(scope="session")
def small_chat_model(models_folder: Path) -> Path:
    path = models_folder / CHAT_SMALL.filename
    if not path.is_file():
        pytest.skip(f"no {path.name} in {models_folder}: run `counterpoint models pull chat-small`")
    return path
