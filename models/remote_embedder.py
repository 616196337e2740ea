"""An embedder behind an OpenAI-compatible ``/embeddings``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np

from models import remote
from models.embedder import Vectors
from models.errors import ModelError

BATCH = 64
SECONDS = 60.0


class EmbedderError(ModelError):
    """The embedding service gave no vectors that can be used."""


class RemoteEmbedder:
    """Vectors of the service at a URL, made unit length here. Made by ``open``."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        *,
        model: str,
        dimension: int,
        query_prefix: str = "",
        document_prefix: str = "",
    ) -> None:
        self._http = http
        self._model = model
        self._dimension = dimension
        self._query_prefix = query_prefix
        self._document_prefix = document_prefix

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        model: str,
        key: str | None = None,
        seconds: float = SECONDS,
        query_prefix: str = "",
        document_prefix: str = "",
    ) -> RemoteEmbedder:
        """``url`` is what stands before ``/embeddings``, mostly ending in ``/v1``.

        One text is embedded to learn the dimension. Raises EmbedderError.
        """
        http = remote.client(url, key=key, seconds=seconds)
        try:
            rows = await _vectors(http, model=model, texts=["dimension"])
        except BaseException:
            await http.aclose()
            raise
        return cls(
            http,
            model=model,
            dimension=rows.shape[1],
            query_prefix=query_prefix,
            document_prefix=document_prefix,
        )

    @property
    def name(self) -> str:
        return self._model

    @property
    def dimension(self) -> int:
        return self._dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        """Raises EmbedderError."""
        return await self._embed([self._document_prefix + text for text in texts])

    async def embed_query(self, text: str) -> Vectors:
        """Raises EmbedderError."""
        row: Vectors = (await self._embed([self._query_prefix + text]))[0]
        return row

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _embed(self, texts: list[str]) -> Vectors:
        parts = [np.zeros((0, self._dimension), dtype=np.float32)]
        for start in range(0, len(texts), BATCH):
            batch = texts[start : start + BATCH]
            parts.append(await _vectors(self._http, model=self._model, texts=batch))
            if parts[-1].shape[1] != self._dimension:
                raise EmbedderError(
                    f"the embedder {self._model} gives vectors of {parts[-1].shape[1]} numbers now,"
                    f" not {self._dimension}; restart, and ingest the documents again"
                )
        return np.concatenate(parts)


async def _vectors(http: httpx.AsyncClient, *, model: str, texts: list[str]) -> Vectors:
    # Some services refuse an empty text.
    asked = [text if text.strip() else "." for text in texts]
    body: dict[str, Any] = {"model": model, "input": asked, "encoding_format": "float"}
    try:
        answer = await remote.post(http, "embeddings", body)
        found = {int(one["index"]): one["embedding"] for one in answer["data"]}
        rows = np.asarray([found[place] for place in range(len(texts))], dtype=np.float32)
    except remote.RemoteError as error:
        raise EmbedderError(
            f"the embedder {model}: {error}; check COUNTERPOINT_EMBEDDER_URL, its model and key"
        ) from error
    except (KeyError, TypeError, ValueError) as error:
        raise EmbedderError(
            f"the embedder {model} gave no vector for each text; is that an /embeddings service?"
        ) from error
    if rows.ndim != 2 or rows.shape[1] == 0 or not np.isfinite(rows).all():
        raise EmbedderError(f"the embedder {model} gave vectors that are no rows of numbers")
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if (lengths == 0).any():
        raise EmbedderError(f"the embedder {model} gave a vector of length zero")
    unit: Vectors = (rows / lengths).astype(np.float32)
    return unit
