"""Any embedder of sentence-transformers, on this machine (the extra ``local-models``)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from models.artifacts import WeightsError
from models.embedder import Vectors


class SentenceEmbedder:
    """``SentenceTransformer`` on one thread of its own. Made by ``open``.

    ``query_prefix`` and ``document_prefix`` stand in front of every question and text, as E5's
    ``query: `` and ``passage: `` do.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str,
        dimension: int,
        executor: ThreadPoolExecutor,
        query_prefix: str = "",
        document_prefix: str = "",
    ) -> None:
        self._model = model
        self._name = name
        self._dimension = dimension
        self._executor = executor
        self._query_prefix = query_prefix
        self._document_prefix = document_prefix

    @classmethod
    async def open(
        cls,
        model: str,
        *,
        offline: bool = False,
        device: str | None = None,
        query_prefix: str = "",
        document_prefix: str = "",
    ) -> SentenceEmbedder:
        """Load a model by its name at the hub or by its folder. Raises WeightsError.

        ``offline``: only what is on this machine already. Code that comes with weights is never
        run.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder")
        loop = asyncio.get_running_loop()
        try:
            loaded, dimension = await loop.run_in_executor(executor, _load, model, offline, device)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(
            loaded,
            name=model,
            dimension=dimension,
            executor=executor,
            query_prefix=query_prefix,
            document_prefix=document_prefix,
        )

    @property
    def name(self) -> str:
        return self._name

    @property
    def dimension(self) -> int:
        return self._dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        return await self._embed([self._document_prefix + text for text in texts])

    async def embed_query(self, text: str) -> Vectors:
        row: Vectors = (await self._embed([self._query_prefix + text]))[0]
        return row

    async def close(self) -> None:
        """Let the work in hand end, then free the thread."""
        await asyncio.to_thread(self._executor.shutdown)

    async def _embed(self, texts: list[str]) -> Vectors:
        if not texts:
            return np.zeros((0, self._dimension), dtype=np.float32)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._encode, texts)

    def _encode(self, texts: list[str]) -> Vectors:
        rows = self._model.encode(
            texts, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(rows, dtype=np.float32)


def _load(model: str, offline: bool, device: str | None) -> tuple[Any, int]:  # noqa: FBT001
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise WeightsError(
            f"the embedder {model} needs sentence-transformers: .venv/bin/pip install -c "
            "constraints.txt -e '.[local-models]' in Counterpoint's folder"
        ) from None
    try:
        loaded = SentenceTransformer(
            model, device=device, local_files_only=offline, trust_remote_code=False
        )
        return loaded, int(loaded.get_sentence_embedding_dimension())
    except Exception as error:
        told = " ".join(str(error).split())[:300]
        raise WeightsError(f"the embedder {model} cannot be loaded: {told}") from error
