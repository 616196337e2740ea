"""An embedder that keeps its vectors in a folder: a second evaluation takes minutes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.embedder import Embedder, Vectors

SAVE_EVERY = 2_000


class KeptVectors:
    """``embedder`` with its vectors in ``folder``, by the hash of embedder and text.

    The vectors are what the embedder gave, bit for bit; a file that cannot be read is passed over.
    """

    def __init__(self, embedder: Embedder, folder: Path) -> None:
        self._embedder = embedder
        self._folder = folder
        self._known: dict[bytes, Vectors] = {}
        self._fresh: dict[bytes, Vectors] = {}
        self.embedded = 0
        """How many texts were not known."""

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def dimension(self) -> int:
        return self._embedder.dimension

    async def embed_documents(self, texts: Sequence[str]) -> Vectors:
        keys = [self._key(text) for text in texts]
        missing = [place for place, key in enumerate(keys) if key not in self._known]
        if missing:
            rows = await self._embedder.embed_documents([texts[place] for place in missing])
            for place, row in zip(missing, rows, strict=True):
                self._known[keys[place]] = self._fresh[keys[place]] = row
            self.embedded += len(missing)
            if len(self._fresh) >= SAVE_EVERY:
                await self.save()
        empty = np.zeros((0, self.dimension), dtype=np.float32)
        return np.stack([self._known[key] for key in keys]) if keys else empty

    async def embed_query(self, text: str) -> Vectors:
        row: Vectors = (await self.embed_documents([text]))[0]
        return row

    async def load(self) -> None:
        """Read what earlier evaluations left."""
        await asyncio.to_thread(self._load)

    async def save(self) -> None:
        """Write what is new to a file of its own."""
        await asyncio.to_thread(self._save)

    def _key(self, text: str) -> bytes:
        about = f"{self._embedder.name}\0{text}".encode("utf-8", errors="replace")
        return hashlib.blake2b(about, digest_size=20).digest()

    def _load(self) -> None:
        for path in sorted(self._folder.glob("*.npz")):
            try:
                with np.load(path) as kept:
                    keys, rows = kept["keys"], kept["rows"]
            except (OSError, ValueError, KeyError, EOFError):
                continue
            if rows.ndim == 2 and rows.shape[1] == self.dimension:
                self._known |= {key.tobytes(): row for key, row in zip(keys, rows, strict=True)}

    def _save(self) -> None:
        if not self._fresh:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        keys = np.frombuffer(b"".join(self._fresh), dtype=np.uint8).reshape(-1, 20)
        name = hashlib.blake2b(keys.tobytes(), digest_size=8).hexdigest()
        partial = self._folder / f"{name}.part"
        with partial.open("wb") as file:
            np.savez(file, keys=keys, rows=np.stack(list(self._fresh.values())))
        partial.replace(self._folder / f"{name}.npz")
        self._fresh.clear()
