"""The saver as one run sees it: threads by the names that callers know, writes under its fence.

Nodes and their configuration hold the public thread id; which tenant it belongs to, and the claim
that a write is made under, are added on the way to Redis and taken off on the way back.
"""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)

from graphs.fence import FENCE
from graphs.keys import thread_name


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A checkpoint was written: LangGraph's ``step`` (-1 is the input), and ``seconds`` it took."""

    checkpoint_id: str
    step: int
    seconds: float


class ScopedSaver(BaseCheckpointSaver[str]):
    """``saver`` for the threads of ``tenant``. ``fence`` goes with writes to ``thread_id`` only:
    other threads, which a node may open itself, are not held by this run. ``saved`` is told of
    each checkpoint of that thread.
    """

    def __init__(
        self,
        saver: BaseCheckpointSaver[str],
        *,
        tenant: str,
        thread_id: str = "",
        fence: str = "",
        saved: Callable[[Saved], None] | None = None,
    ) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._tenant = tenant
        self._thread = thread_id
        self._fence = fence
        self._saved = saved

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> ScopedSaver:
        made = copy.copy(self)
        made._saver = self._saver.with_allowlist(extra_allowlist)
        made.serde = made._saver.serde
        return made

    def get_next_version(self, current: str | None, channel: None) -> str:
        return self._saver.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        found = await self._saver.aget_tuple(self._inward(config))
        return None if found is None else self._told(found)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - the interface's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Raises ValueError without a thread: what other tenants have is nobody's business."""
        if config is None:
            raise ValueError("name a thread: configurable.thread_id")
        async for found in self._saver.alist(
            self._inward(config), filter=filter, before=before, limit=limit
        ):
            yield self._told(found)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        started = time.perf_counter()
        put = await self._saver.aput(self._inward(config), checkpoint, metadata, new_versions)
        if self._saved is not None and str(config["configurable"]["thread_id"]) == self._thread:
            self._saved(
                Saved(
                    checkpoint_id=checkpoint["id"],
                    step=metadata.get("step", 0),
                    seconds=time.perf_counter() - started,
                )
            )
        return self._outward(put)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        await self._saver.aput_writes(self._inward(config), writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        await self._saver.adelete_thread(thread_name(self._tenant, thread_id))

    def _inward(self, config: RunnableConfig) -> RunnableConfig:
        given = config["configurable"]
        thread_id = str(given["thread_id"])
        inner = {**given, "thread_id": thread_name(self._tenant, thread_id)}
        if self._fence and thread_id == self._thread:
            inner[FENCE] = self._fence
        else:
            inner.pop(FENCE, None)
        return {**config, "configurable": inner}

    def _outward(self, config: RunnableConfig) -> RunnableConfig:
        given = config["configurable"]
        name = str(given["thread_id"]).removeprefix(thread_name(self._tenant, ""))
        return {**config, "configurable": {**given, "thread_id": name}}

    def _told(self, found: CheckpointTuple) -> CheckpointTuple:
        parent = found.parent_config
        return found._replace(
            config=self._outward(found.config),
            parent_config=None if parent is None else self._outward(parent),
        )
