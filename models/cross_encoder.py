"""A cross-encoder of sentence-transformers, on this machine (the extra ``local-models``)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from models.artifacts import WeightsError
from models.reranker import RerankError

MAX_TOKENS = 512


class CrossEncoderScorer:
    """``CrossEncoder`` on one thread of its own. Made by ``open``."""

    def __init__(self, model: Any, *, name: str, executor: ThreadPoolExecutor) -> None:
        self._model = model
        self._name = name
        self._executor = executor

    @classmethod
    async def open(
        cls, model: str, *, offline: bool = False, device: str | None = None
    ) -> CrossEncoderScorer:
        """Load a model by its name at the hub or by its folder. Raises WeightsError.

        ``offline``: only what is on this machine already. Code that comes with weights is never
        run.
        """
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="reranker")
        loop = asyncio.get_running_loop()
        try:
            loaded = await loop.run_in_executor(executor, _load, model, offline, device)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(loaded, name=model, executor=executor)

    @property
    def name(self) -> str:
        return self._name

    async def score(self, query: str, texts: Sequence[str]) -> Sequence[float]:
        """Raises RerankError."""
        pairs = [(query, text) for text in texts]
        if not pairs:
            return []
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, self._predict, pairs)

    async def close(self) -> None:
        """Let the work in hand end, then free the thread."""
        await asyncio.to_thread(self._executor.shutdown)

    def _predict(self, pairs: list[tuple[str, str]]) -> list[float]:
        try:
            raw = self._model.predict(pairs, show_progress_bar=False)
        except Exception as error:
            # torch raises what it likes.
            raise RerankError(f"reranker {self._name}: {_line(error)}") from error
        scores = [float(one) for one in raw]
        if not all(math.isfinite(one) for one in scores):
            raise RerankError(f"reranker {self._name} gave scores that are no numbers")
        return scores


def _load(model: str, offline: bool, device: str | None) -> Any:  # noqa: FBT001
    try:
        from sentence_transformers import CrossEncoder
    except ImportError:
        raise WeightsError(
            f"the reranker {model} needs sentence-transformers: .venv/bin/pip install -c "
            "constraints.txt -e '.[local-models]' in Counterpoint's folder"
        ) from None
    try:
        return CrossEncoder(
            model,
            max_length=MAX_TOKENS,
            device=device,
            local_files_only=offline,
            trust_remote_code=False,
        )
    except Exception as error:
        raise WeightsError(f"the reranker {model} cannot be loaded: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
