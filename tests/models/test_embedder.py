"""Every embedder keeps the same promises; MiniLM also knows what words mean."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifacts import WeightsError
from models.embedder import Embedder, HashedEmbedder
from models.minilm import NICE, MiniLM
from tests.models.conftest import EmbedderWeights

CAT = "a cat sits on the mat"
KITTEN = "a kitten is sitting on a rug"
REVENUE = "quarterly revenue grew by twelve percent"


@pytest.fixture(params=["hashed", "minilm"])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    if request.param == "hashed":
        return HashedEmbedder()
    opened: MiniLM = request.getfixturevalue("minilm")
    return opened


async def test_documents_become_unit_rows_of_the_named_dimension(embedder: Embedder) -> None:
    vectors = await embedder.embed_documents([CAT, REVENUE, "", "naïve 日本語 \U0001f600"])
    assert vectors.shape == (4, embedder.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)


async def test_a_query_is_one_vector_equal_to_the_same_text_as_a_document(
    embedder: Embedder,
) -> None:
    query = await embedder.embed_query(CAT)
    (document,) = await embedder.embed_documents([CAT])
    assert query.shape == (embedder.dimension,)
    assert query.dtype == np.float32
    assert float(query @ document) == pytest.approx(1.0, abs=1e-5)


async def test_no_texts_give_no_rows(embedder: Embedder) -> None:
    assert (await embedder.embed_documents([])).shape == (0, embedder.dimension)


async def test_company_in_a_batch_does_not_change_a_vector(embedder: Embedder) -> None:
    texts = [f"{'clause ' * (7 * number % 60)}number {number}" for number in range(40)]
    together = await embedder.embed_documents(texts)
    reversed_ = (await embedder.embed_documents(texts[::-1]))[::-1]
    alone = np.stack([await embedder.embed_query(text) for text in texts[:8]])
    np.testing.assert_allclose(together, reversed_, atol=1e-3)
    np.testing.assert_allclose(together[:8], alone, atol=1e-3)


async def test_texts_that_share_words_are_nearer_than_texts_that_do_not(
    embedder: Embedder,
) -> None:
    near, query, far = await embedder.embed_documents(
        ["invoices are due in thirty days", "when are invoices due?", "the fox jumps over dogs"]
    )
    assert float(query @ near) > float(query @ far) + 0.3


async def test_many_callers_at_once_each_get_their_own_vectors(embedder: Embedder) -> None:
    texts = [CAT, KITTEN, REVENUE]
    alone = [await embedder.embed_query(text) for text in texts]
    together = await asyncio.gather(*(embedder.embed_query(text) for text in texts))
    np.testing.assert_allclose(np.stack(together), np.stack(alone), atol=1e-3)


async def test_minilm_knows_that_a_kitten_is_like_a_cat(minilm: MiniLM) -> None:
    """The vectors are those of the published model: 0.6924 for this pair."""
    cat, kitten, revenue = await minilm.embed_documents([CAT, KITTEN, REVENUE])
    assert float(cat @ kitten) == pytest.approx(0.69, abs=0.02)
    assert abs(float(cat @ revenue)) < 0.15


async def test_minilm_reads_the_first_256_tokens(minilm: MiniLM) -> None:
    head = "travel " * 254
    plain, tailed = await minilm.embed_documents([head, head + "elephants " * 50])
    np.testing.assert_allclose(plain, tailed, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="a priority belongs to a thread on Linux alone")
async def test_documents_are_embedded_at_a_lower_priority_than_questions(minilm: MiniLM) -> None:
    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    documents = minilm._executor.submit(priority).result()
    questions = minilm._asking.submit(priority).result()
    assert documents == NICE
    assert questions == priority()


OPENING = """
import asyncio, sys
from pathlib import Path
from models.minilm import MiniLM
async def main():
    model, tokenizer = map(Path, sys.argv[1:])
    await (await MiniLM.open(model, tokenizer=tokenizer)).close()
asyncio.run(main())
"""


def test_the_embedder_does_not_report_its_use_to_the_makers_of_its_runtime(
    embedder_weights: EmbedderWeights, tmp_path: Path
) -> None:
    """onnxruntime would give the machine a number, kept in the home folder, and send it away."""
    weights = (str(embedder_weights.model), str(embedder_weights.tokenizer))
    subprocess.run(
        [sys.executable, "-c", OPENING, *weights], check=True, env={"HOME": str(tmp_path)}
    )
    assert list(tmp_path.rglob("*")) == []


async def test_missing_weights_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="counterpoint models pull"):
        await MiniLM.open(tmp_path / "absent.onnx", tokenizer=tmp_path / "absent.json")


async def test_damaged_weights_say_how_to_replace_them(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"not a model")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(WeightsError, match="delete its files"):
        await MiniLM.open(tmp_path / "model.onnx", tokenizer=tmp_path / "tokenizer.json")


@given(st.text(max_size=80))
def test_the_twin_gives_every_text_a_direction(text: str) -> None:
    vector = asyncio.run(HashedEmbedder().embed_query(text))
    assert float(np.linalg.norm(vector)) == pytest.approx(1.0, abs=1e-5)
