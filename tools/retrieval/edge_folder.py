"""The folder of the engine in process: its lock, what it was made with, its shard."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

import qdrant_edge as qdrant

from tools.retrieval import store
from tools.retrieval.errors import StoreBusy, StoreDamaged, StoreError
from tools.retrieval.store import DENSE, SPARSE

# Vectors of four bits a number, looked through instead of the whole ones, which then decide among
# the first. Of the engine's kinds only this and binary work without an index.
COMPRESSION: qdrant.TurboQuantQuantizationConfig | None = qdrant.TurboQuantQuantizationConfig(
    bits=qdrant.TurboQuantBitSize.Bits4, memory=qdrant.Memory.Pinned
)

_ops = qdrant.UpdateOperation


def open_shard(
    path: Path, *, embedder: str, dimension: int, spare_bytes: int
) -> tuple[qdrant.EdgeShard, int]:
    """The shard in the folder, made where there is none, and the lock on it. Raises StoreError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = _lock(path / "lock", path=path)
    except OSError as error:
        raise store_error(error, path=path) from error
    try:
        check_disk(path, spare_bytes=spare_bytes)
        _check_meta(path, embedder=embedder, dimension=dimension)
        shard = path / "shard"
        if not shard.exists():
            _create(shard, dimension=dimension)
        return qdrant.EdgeShard.load(str(shard)), lock
    except StoreError:
        os.close(lock)
        raise
    except Exception as error:
        os.close(lock)
        raise store_error(error, path=path) from error


def check_disk(path: Path, *, spare_bytes: int) -> None:
    """Raises StoreError where less is free."""
    free = shutil.disk_usage(path).free
    if free < spare_bytes:
        raise StoreError(
            f"{path}: the disk is full ({free // 1_000_000} MB left, {spare_bytes // 1_000_000}"
            " MB needed); free some space and try again"
        )


def sync_log(path: Path) -> None:
    """Wait until the disk has the engine's log, to which it writes through memory."""
    for file in (path / "shard" / "wal").iterdir():
        try:
            log = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            # The engine has renamed it.
            continue
        try:
            os.fsync(log)
        finally:
            os.close(log)


def _lock(lock_path: Path, *, path: Path) -> int:
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(lock, 32).decode("ascii", errors="replace").strip() or "unknown"
        os.close(lock)
        raise StoreBusy(
            f"{path}: the document store is in use by process {owner};"
            " stop it, or send the documents to that server (--url)"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode("ascii"), 0)
    return lock


def _check_meta(path: Path, *, embedder: str, dimension: int) -> None:
    meta_path = path / "meta.json"
    wanted = store.meta(embedder=embedder, dimension=dimension)
    if not meta_path.exists():
        if (path / "shard").exists():
            raise StoreDamaged(
                f"{meta_path} is missing; move {path} away and ingest the documents again"
            )
        fresh = meta_path.with_suffix(".new")
        fresh.write_text(json.dumps(wanted), encoding="utf-8")
        fresh.replace(meta_path)
        return
    try:
        found = json.loads(meta_path.read_text(encoding="utf-8"))
    except ValueError:
        raise StoreDamaged(
            f"{meta_path} cannot be read; move {path} away and ingest the documents again"
        ) from None
    store.check_meta(found, wanted=wanted, place=str(path))


def _create(shard_path: Path, *, dimension: int) -> None:
    # Built aside and renamed, so that a kill in between leaves nothing half made.
    fresh = shard_path.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    shard = qdrant.EdgeShard.create(
        str(fresh),
        qdrant.EdgeConfig(
            vectors={
                DENSE: qdrant.EdgeVectorParams(
                    size=dimension,
                    distance=qdrant.Distance.Cosine,
                    quantization_config=COMPRESSION,
                )
            },
            sparse_vectors={SPARSE: qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
        ),
    )
    kinds = qdrant.PayloadSchemaType
    for name in store.KEYWORD_FIELDS:
        shard.update(_ops.create_field_index(name, kinds.Keyword))
    for name in store.INTEGER_FIELDS:
        shard.update(_ops.create_field_index(name, kinds.Integer))
    shard.flush()
    shard.close()
    fresh.rename(shard_path)


def store_error(error: Exception, *, path: Path) -> StoreError:
    """What an error of the engine or the disk is to people."""
    message = " ".join(str(error).split())
    if "No space left" in message or "os error 28" in message:
        return StoreError(f"{path}: the disk is full; free some space and try again")
    if isinstance(error, PermissionError) or "Permission denied" in message:
        return StoreError(f"{path}: not permitted to write there; mend the folder's permissions")
    return StoreDamaged(f"{path}: the document store failed: {message[:300]}")
