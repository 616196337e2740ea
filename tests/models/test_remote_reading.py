"""Embeddings and reranking of services, told by a double on the wire."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import pytest

from models import remote, remote_embedder
from models.remote_embedder import EmbedderError, RemoteEmbedder
from models.remote_reranker import RemoteScorer
from models.reranker import PairScorer, RerankError, WordScorer

Answer = Callable[[httpx.Request], httpx.Response]
KEY = "sk-not-to-be-told"


@asynccontextmanager
async def service(answer: Answer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.MockTransport(answer),
        base_url="http://models.test/v1/",
        headers={"authorization": f"Bearer {KEY}"},
    ) as http:
        yield http


def asked(request: httpx.Request) -> Any:
    return json.loads(request.content)


def embeddings(request: httpx.Request) -> httpx.Response:
    assert request.url.path == "/v1/embeddings"
    texts = asked(request)["input"]
    rows = [
        {"index": place, "embedding": [float(len(text)), 3.0]} for place, text in enumerate(texts)
    ]
    return httpx.Response(200, json={"data": rows[::-1]})


async def test_vectors_come_in_their_order_and_have_length_one() -> None:
    async with service(embeddings) as http:
        embedder = RemoteEmbedder(http, model="m", dimension=2, query_prefix="query: ")
        rows = await embedder.embed_documents(["four", ""] * 40)
        assert rows.shape == (80, 2)
        assert rows.dtype == np.float32
        assert rows[0] == pytest.approx([0.8, 0.6])
        assert np.linalg.norm(rows, axis=1) == pytest.approx(np.ones(80))
        assert (await embedder.embed_documents([])).shape == (0, 2)
        one = await embedder.embed_query("four")
        assert one == pytest.approx(np.asarray([11, 3]) / np.hypot(11, 3))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: httpx.Response(401, text="bad key"), "answered 401: bad key"),
        (lambda _: httpx.Response(200, json={"data": []}), "no vector for each text"),
        (lambda _: httpx.Response(200, text="<html>"), "answers no JSON"),
        (
            lambda _: httpx.Response(200, json={"data": [{"index": 0, "embedding": [0, 0]}]}),
            "length zero",
        ),
        (
            lambda _: httpx.Response(200, json={"data": [{"index": 0, "embedding": [1.0]}]}),
            "vectors of 1 numbers now",
        ),
    ],
)
async def test_what_is_wrong_with_an_embedder_is_told_without_the_key(
    answer: Answer, told: str
) -> None:
    async with service(answer) as http:
        with pytest.raises(EmbedderError, match=told) as raised:
            await RemoteEmbedder(http, model="m", dimension=2).embed_query("x")
        assert KEY not in str(raised.value)


async def test_a_service_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FIRST_PAUSE", 0.0)
    times = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal times
        times += 1
        if times < 3:
            return httpx.Response(429, headers={"retry-after": "0"})
        return embeddings(request)

    async with service(answer) as http:
        rows = await remote_embedder._vectors(http, model="m", texts=["x"])
        assert rows.shape == (1, 2)
    assert times == 3


def cohere(request: httpx.Request) -> httpx.Response:
    told = asked(request)
    if "documents" not in told:
        return httpx.Response(422)
    rows = [
        {"index": place, "relevance_score": len(text) / 10}
        for place, text in enumerate(told["documents"])
    ]
    return httpx.Response(200, json={"results": rows[::-1]})


def tei(request: httpx.Request) -> httpx.Response:
    told = asked(request)
    if "texts" not in told:
        return httpx.Response(422, json={"error": "missing field `texts`"})
    rows = [{"index": place, "score": len(text) / 10} for place, text in enumerate(told["texts"])]
    return httpx.Response(200, json=rows[::-1])


@pytest.mark.parametrize("answer", [cohere, tei])
async def test_scores_come_in_the_order_of_the_texts(answer: Answer) -> None:
    async with service(answer) as http:
        scorer = RemoteScorer(http, model="m")
        assert await scorer.score("q", ["abc", "a"]) == [0.3, 0.1]
        assert await scorer.score("q", ["abc", "a"]) == [0.3, 0.1]
        assert await scorer.score("q", []) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda _: httpx.Response(503, text="starting"), "answered 503: starting"),
        (lambda _: httpx.Response(200, json={"results": []}), "no score for each"),
        (lambda _: httpx.Response(200, content=b'[{"index": 0, "score": 1e999}]'), "m"),
    ],
)
async def test_what_is_wrong_with_a_reranker_is_told_without_the_key(
    answer: Answer, told: str
) -> None:
    async with service(answer) as http:
        with pytest.raises(RerankError, match=told) as raised:
            await RemoteScorer(http, model="m").score("q", ["x"])
        assert KEY not in str(raised.value)


async def test_nobody_at_the_url_is_told() -> None:
    def nobody(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    async with service(nobody) as http:
        with pytest.raises(RerankError, match=r"models\.test does not answer \(refused\)"):
            await RemoteScorer(http, model="m").score("q", ["x"])


@pytest.mark.parametrize("kind", ["words", "remote"])
async def test_every_scorer_gives_a_number_for_each_text(kind: str) -> None:
    async with service(cohere) as http:
        scorer: PairScorer = WordScorer() if kind == "words" else RemoteScorer(http, model="m")
        for texts in ([], ["one"], ["one", "", "two words", "one"]):
            scores = await scorer.score("one", texts)
            assert len(scores) == len(texts)
            assert all(isinstance(score, float) for score in scores)
        assert scorer.name
        await scorer.close()
