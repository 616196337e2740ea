"""The default embedder: all-MiniLM-L6-v2 in int8 on onnxruntime, without torch."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from models.artifacts import WeightsError
from models.embedder import Vectors
from models.llama import usable_cores

DIMENSION = 384
MAX_TOKENS = 256
# Two texts of like length: beyond that padding, and what no longer fits the core's cache, cost
# more than a batch saves (16 together take a third longer each).
BATCH = 2
MOST_BATCHES = 8
NICE = 10


class MiniLM:
    """all-MiniLM-L6-v2: mean over the tokens, unit length; reads the first 256 tokens of a text.

    Made by ``open``; threads of its own do the work, so the event loop never waits for it. A
    question has a thread to itself and waits for no document; on Linux the threads of documents
    run at a lower priority than all else.
    """

    def __init__(self, session: Any, tokenizer: Any, *, executor: ThreadPoolExecutor) -> None:
        self._session = session
        self._tokenizer = tokenizer
        self._executor = executor
        self._asking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedder-query")
        self._inputs = frozenset(entry.name for entry in session.get_inputs())

    @classmethod
    async def open(
        cls, model: Path, *, tokenizer: Path, threads: int = 1, batches: int | None = None
    ) -> MiniLM:
        """Load the weights; raises ``WeightsError`` where a file is missing or damaged.

        ``batches`` of documents are embedded at the same time, each on ``threads`` threads; by
        default ``batches_at_once``.
        """
        for path in (model, tokenizer):
            if not path.is_file():
                raise WeightsError(
                    f"the embedder's file {path} is not there: run `counterpoint models pull`"
                )
        executor = ThreadPoolExecutor(
            max_workers=batches or batches_at_once(),
            thread_name_prefix="embedder",
            initializer=_give_way,
        )
        loop = asyncio.get_running_loop()
        try:
            session, words = await loop.run_in_executor(executor, _load, model, tokenizer, threads)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(session, words, executor=executor)

    @property
    def name(self) -> str:
        return "all-MiniLM-L6-v2-int8"

    @property
    def dimension(self) -> int:
        return DIMENSION

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        result = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        if not texts:
            return result
        loop = asyncio.get_running_loop()
        encodings = await loop.run_in_executor(
            self._executor, self._tokenizer.encode_batch, list(texts)
        )
        # Texts of like length share a batch: padding costs as much as words do.
        order = sorted(range(len(texts)), key=lambda index: -len(encodings[index].ids))
        groups = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
        work = [
            loop.run_in_executor(self._executor, self._run, [encodings[row] for row in rows])
            for rows in groups
        ]
        for rows, vectors in zip(groups, await asyncio.gather(*work), strict=True):
            result[rows] = vectors
        return result

    async def embed_query(self, text: str) -> Vectors:
        loop = asyncio.get_running_loop()
        vector: Vectors = await loop.run_in_executor(self._asking, self._embed_one, text)
        return vector

    async def close(self) -> None:
        """Let the work in hand end, then free the threads."""
        await asyncio.to_thread(self._executor.shutdown)
        await asyncio.to_thread(self._asking.shutdown)

    def _embed_one(self, text: str) -> Vectors:
        # Alone: a batch is tokenized by threads that documents share.
        one: Vectors = self._run([self._tokenizer.encode(text)])[0]
        return one

    def _run(self, encodings: Sequence[Any]) -> Vectors:
        longest = max(len(encoding.ids) for encoding in encodings)
        ids = np.zeros((len(encodings), longest), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, encoding in enumerate(encodings):
            ids[row, : len(encoding.ids)] = encoding.ids
            mask[row, : len(encoding.ids)] = 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden, *_) = self._session.run(
            None, {name: value for name, value in feed.items() if name in self._inputs}
        )
        weights = mask[:, :, None].astype(np.float32)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
        unit: Vectors = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit.astype(np.float32)


def _give_way() -> None:
    # On Linux a priority belongs to a thread.
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def batches_at_once() -> int:
    """How many batches suit this machine, ``MOST_BATCHES`` at most: one a core.

    Where they cannot be given a lower priority, one core is left to whatever else goes on.
    """
    cores = usable_cores() if sys.platform == "linux" else usable_cores() - 1
    return min(MOST_BATCHES, max(1, cores))


def runtime() -> Any:
    """onnxruntime, told not to report its use to its makers, which its builds do otherwise."""
    # Read once, when it is loaded; only from the process's own environment.
    os.putenv("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def _load(model: Path, tokenizer: Path, threads: int) -> tuple[Any, Any]:
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads burn the cores that the chat model needs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        words = Tokenizer.from_file(str(tokenizer))
        session = onnxruntime.InferenceSession(
            str(model), sess_options=options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        raise WeightsError(
            f"the embedder in {model.parent} cannot be loaded ({error}): delete its files and "
            "run `counterpoint models pull`"
        ) from error
    words.no_padding()
    words.enable_truncation(max_length=MAX_TOKENS)
    return session, words
