"""Weights that tests may use: those in the models folder, or a skip that says what is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from models.catalogue import CHAT_SMALL, EMBEDDER_MODEL, EMBEDDER_TOKENIZER
from models.minilm import MiniLM
from models.progress import RecordedProgress
from models.registry import ClientKind
from server.settings import Settings
from tests.models.chatting import AskedBy
from tests.models.doubles import CONTENT, HUB_PATH, Behaviour, file_server


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


@pytest.fixture(params=list(ClientKind))
async def openai_endpoint(request: pytest.FixtureRequest) -> AsyncIterator[AskedBy]:
    """What holds of an endpoint holds whichever client asks it."""
    endpoint = AskedBy(client=request.param)
    await endpoint.start()
    yield endpoint
    await endpoint.aclose()
    endpoint.assert_exhausted()


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour(files={HUB_PATH: CONTENT})


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the developer has set cannot see this machine's loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def hub(behaviour: Behaviour) -> Iterator[str]:
    with file_server(behaviour) as url:
        yield url


@pytest.fixture
def progress() -> RecordedProgress:
    return RecordedProgress()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A models folder that nobody has made yet."""
    return tmp_path / "models"
