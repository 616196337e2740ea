"""Messages as the thread-centric protocol tells them: content blocks that grow. Pure.

Blocks of text and of reasoning end where another begins; calls of tools stay open to the
message's end, since some models write several of them in turns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata, add_usage

from server.wire.protocol import Namespace, Told

_CHUNK = "AIMessageChunk"
_ROLES = {"ai": "ai", "human": "human", "system": "system"}
_CALLS = frozenset({"tool_call_chunk", "server_tool_call_chunk"})
_GROWS = {"text": "text", "reasoning": "reasoning"}

Block = dict[str, Any]


@dataclass(kw_only=True)
class _Writing:
    """A message as far as it has come."""

    name: str
    namespace: Namespace
    node: str | None
    task: str
    blocks: list[Block] = field(default_factory=list)
    open: dict[Any, int] = field(default_factory=dict)
    usage: UsageMetadata | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def told(self, event: str, **more: Any) -> Told:
        # Clients tell messages that come at the same time apart by these two.
        data = {"event": event, **more, "message_id": self.name, "run_id": self.name}
        return Told(method="messages", data=data, namespace=self.namespace, node=self.node)

    def started(self, role: str) -> Told:
        about: dict[str, Any] = {}
        if self.node is not None:
            about["langgraph_node"] = self.node
        for ours, theirs in (("model_provider", "provider"), ("model_name", "model")):
            if isinstance(said := self.metadata.get(ours), str):
                about[theirs] = said
        more = {"metadata": about} if about else {}
        return self.told("message-start", role=role, id=self.name, **more)

    def grown(self, block: Block) -> Iterator[Told]:
        """What one more piece of a block comes to."""
        kind = str(block.get("type"))
        key = _key(block)
        if key not in self.open:
            for other in [one for one in self.open if one in _GROWS]:
                yield self._ended(other)
            self.open[key] = len(self.blocks)
            self.blocks.append(_emptied(block))
            yield self.told(
                "content-block-start", index=self.open[key], content=dict(self.blocks[-1])
            )
        index = self.open[key]
        whole = self.blocks[index]
        if kind in _GROWS:
            piece = _text(block.get(kind))
            whole[kind] = whole.get(kind, "") + piece
            _take(whole, block, but=kind)
            delta = {"type": f"{kind}-delta", kind: piece}
        elif kind in _CALLS:
            piece = _text(block.get("args"))
            whole["args"] = whole.get("args", "") + piece
            _take(whole, block, but="args")
            delta = {"type": "tool-call-delta", "args": piece}
        else:
            whole.update(block)
            return
        if piece:
            yield self.told("content-block-delta", index=index, delta=delta)

    def ended(self) -> Iterator[Told]:
        """What is told once nothing more comes."""
        for key in list(self.open):
            yield self._ended(key)
        more: dict[str, Any] = {}
        if self.usage:
            more["usage"] = dict(self.usage)
        if self.metadata:
            more["metadata"] = self.metadata
        if self.extra:
            more["additional_kwargs"] = self.extra
        yield self.told("message-finish", **more)

    def _ended(self, key: Any) -> Told:
        index = self.open.pop(key)
        return self.told("content-block-finish", index=index, content=_final(self.blocks[index]))


class Messages:
    """The messages of one run; shown every piece in order."""

    def __init__(self) -> None:
        self._open: dict[tuple[Namespace, str], _Writing] = {}

    def show(
        self, message: Mapping[str, Any], metadata: Any, *, namespace: Namespace, name: str
    ) -> Iterator[Told]:
        """The events of one message or piece; ``name`` is its id where it has none."""
        name = str(message.get("id") or name)
        kind = str(message.get("type"))
        if kind == _CHUNK:
            writing = self._open.get((namespace, name))
            if writing is None:
                writing = self._open[namespace, name] = _writing(name, metadata, namespace)
                writing.metadata.update(message.get("response_metadata") or {})
                yield writing.started("ai")
            yield from _piece(writing, message)
            if message.get("chunk_position") == "last":
                yield from self._finished((namespace, name))
        elif kind in _ROLES:
            yield from self._drop(namespace, name)
            writing = _writing(name, metadata, namespace)
            writing.metadata.update(message.get("response_metadata") or {})
            yield writing.started(_ROLES[kind])
            yield from _piece(writing, message)
            yield from writing.ended()

    def over(self, namespace: Namespace, *, task: str = "") -> Iterator[Told]:
        """What is complete because what wrote it is: a task, or all of a namespace's."""
        for key, writing in list(self._open.items()):
            under = key[0][: len(namespace)] == namespace
            if under and (not task or writing.task == task):
                yield from self._finished(key)

    def used(self, namespace: Namespace, usage: UsageMetadata) -> Iterator[Told]:
        """A model's call is over: its message is, with what it took."""
        for key, writing in list(self._open.items()):
            if key[0] == namespace:
                writing.usage = usage
                yield from self._finished(key)

    def broken(self, why: str) -> Iterator[Told]:
        """What was being written will not be finished."""
        for writing in self._open.values():
            yield writing.told("error", message=why, code="aborted")
        self._open.clear()

    def _finished(self, key: tuple[Namespace, str]) -> Iterator[Told]:
        yield from self._open.pop(key).ended()

    def _drop(self, namespace: Namespace, name: str) -> Iterator[Told]:
        if (namespace, name) in self._open:
            yield from self._finished((namespace, name))


def _writing(name: str, metadata: Any, namespace: Namespace) -> _Writing:
    about = metadata if isinstance(metadata, Mapping) else {}
    node = about.get("langgraph_node")
    place = str(about.get("langgraph_checkpoint_ns") or "")
    return _Writing(
        name=name,
        namespace=namespace,
        node=node if isinstance(node, str) else None,
        task=place.rpartition(":")[2],
    )


def _piece(writing: _Writing, message: Mapping[str, Any]) -> Iterator[Told]:
    writing.usage = add_usage(writing.usage, message.get("usage_metadata"))
    writing.metadata.update(message.get("response_metadata") or {})
    extra = message.get("additional_kwargs") or {}
    writing.extra.update({k: v for k, v in extra.items() if k != "reasoning_content"})
    for block in _blocks(message):
        yield from writing.grown(block)


def _blocks(message: Mapping[str, Any]) -> Sequence[Block]:
    """A message's content in blocks of the standard form."""
    content = message.get("content")
    extra = message.get("additional_kwargs") or {}
    calls = message.get("tool_call_chunks") or message.get("tool_calls")
    if isinstance(content, str) and not calls and "reasoning_content" not in extra:
        return [{"type": "text", "text": content}] if content else ()
    if message.get("type") not in {_CHUNK, "ai"}:
        return _listed(content)
    kind = AIMessageChunk if message["type"] == _CHUNK else AIMessage
    try:
        blocks = kind.model_validate(message).content_blocks
    except (ValueError, TypeError, LookupError):
        # A graph may write what LangChain cannot read; the stream goes on.
        return _listed(content)
    return [{**one} for one in blocks if one.get("type") != "text" or one.get("text")]


def _listed(content: Any) -> Sequence[Block]:
    parts = content if isinstance(content, list) else [content]
    texts = [{"type": "text", "text": one} if isinstance(one, str) else one for one in parts]
    return [dict(one) for one in texts if isinstance(one, Mapping)]


def _text(piece: Any) -> str:
    return piece if isinstance(piece, str) else ""


def _key(block: Block) -> Any:
    """What a block's pieces have in common: its place, where it says one, or its kind."""
    kind = block.get("type")
    if kind in _GROWS:
        return kind
    index = block.get("index")
    return (kind, index if index is not None else block.get("id") or "")


def _emptied(block: Block) -> Block:
    """A block at its beginning, before its first piece."""
    kind = block.get("type")
    if kind in _GROWS:
        return {**block, kind: ""}
    return {**block, "args": ""} if kind in _CALLS else dict(block)


def _take(whole: Block, piece: Block, *, but: str) -> None:
    for name, value in piece.items():
        if name != but and value is not None:
            whole[name] = value


def _final(block: Block) -> Block:
    """A block as it ends: the pieces of a call are the call, if they are JSON."""
    if block.get("type") not in _CALLS:
        return dict(block)
    rest = {name: value for name, value in block.items() if name != "index"}
    try:
        args = json.loads(rest.get("args") or "{}")
    except ValueError:
        args = None
    if not isinstance(args, dict):
        why = "its arguments are no JSON object"
        return {**rest, "type": "invalid_tool_call", "error": why}
    kind = str(block["type"]).removesuffix("_chunk")
    return {**rest, "type": kind, "id": rest.get("id") or "", "args": args}
