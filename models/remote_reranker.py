"""A reranker behind a ``/rerank`` as Cohere, Jina, vLLM and text-embeddings-inference have it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import httpx

from models import remote
from models.reranker import RerankError

SECONDS = 10.0


class RemoteScorer:
    """Asks for scores of a question and its passages."""

    def __init__(self, http: httpx.AsyncClient, *, model: str) -> None:
        self._http = http
        self._model = model
        self._texts = False

    @classmethod
    def open(
        cls, url: str, *, model: str, key: str | None = None, seconds: float = SECONDS
    ) -> RemoteScorer:
        """``url`` is what stands before ``/rerank``. Nothing is asked yet."""
        return cls(remote.client(url, key=key, seconds=seconds), model=model)

    @property
    def name(self) -> str:
        return self._model

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Raises RerankError."""
        if not texts:
            return []
        try:
            answer = await self._ask(query, list(texts))
        except remote.RemoteError as error:
            raise RerankError(f"reranker {self._model}: {error}") from error
        try:
            rows = answer["results"] if isinstance(answer, dict) else answer
            found = {int(row["index"]): _score(row) for row in rows}
            scores = [found[place] for place in range(len(texts))]
        except (KeyError, TypeError, ValueError) as error:
            raise RerankError(
                f"reranker {self._model} gave no score for each passage; is that a /rerank service?"
            ) from error
        if not all(math.isfinite(one) for one in scores):
            raise RerankError(f"reranker {self._model} gave scores that are no numbers")
        return scores

    async def _ask(self, query: str, texts: list[str]) -> Any:
        # One attempt: a search has little time, and goes on without.
        if not self._texts:
            body = {
                "model": self._model,
                "query": query,
                "documents": texts,
                "top_n": len(texts),
                "return_documents": False,
            }
            try:
                return await remote.post(self._http, "rerank", body, attempts=1)
            except remote.RemoteError as error:
                if error.status not in (400, 422):
                    raise
        # As text-embeddings-inference has it.
        answer = await remote.post(
            self._http, "rerank", {"query": query, "texts": texts}, attempts=1
        )
        self._texts = True
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _score(row: Any) -> float:
    return float(row["relevance_score"] if "relevance_score" in row else row["score"])
