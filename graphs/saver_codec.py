"""How a checkpoint becomes bytes: names, frames, and long lists in pieces that stay the same.

A list that grows at its end (messages, findings) is cut from the front into pieces by size, each
stored under its digest: a step stores the last piece anew, and refers to the others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from graphs.fence import FENCE
from graphs.retention import Stored

UNIT = "\x1f"
RECORD = "\x1e"
PIECE_BYTES = 2048
DIGEST_BYTES = 12
_MSGPACK = b"msgpack:"
_ARRAY = b"\xdd"

Field = tuple[str, str | bytes, bytes]
"""Kind (``b`` whole value, ``l`` list of pieces, ``s`` piece), name and bytes."""


def plain_serializer(allowed: Collection[tuple[str, str]] = ()) -> JsonPlusSerializer:
    """Plain data and LangChain messages only, and the classes named by module and name.

    No class outside the allow-list is ever imported, no pickle ever read.
    """
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=list(allowed) or None)


def config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    """How LangGraph names a checkpoint."""
    return {
        "configurable": {
            "thread_id": thread_id,
            "checkpoint_ns": namespace,
            "checkpoint_id": checkpoint_id,
        }
    }


def place_of(config: RunnableConfig) -> tuple[str, str, str]:
    """Thread, namespace, and the stamp of the writer."""
    given = config["configurable"]
    namespace, stamp = given.get("checkpoint_ns") or "", given.get(FENCE) or ""
    return str(given["thread_id"]), str(namespace), str(stamp)


def stands_at(start: str, checkpoint_id: str) -> tuple[str, str]:
    """The hash and the field of a checkpoint of the thread itself; ``start`` of its keys."""
    return f"{start}data", joined("c", "", checkpoint_id)


def joined(*names: str) -> str:
    """Names as one. Raises ValueError for one that holds a separator."""
    for name in names:
        if UNIT in name or RECORD in name:
            raise ValueError(f"a name may not hold separator characters: {name!r}")
    return UNIT.join(names)


def framed(typed: tuple[str, bytes]) -> bytes:
    return typed[0].encode() + b":" + typed[1]


def unframed(stored: bytes) -> tuple[str, bytes]:
    kind, _, data = stored.partition(b":")
    return kind.decode(), data


def fields_of(value: Any, name: str, *, serde: SerializerProtocol) -> Iterator[Field]:
    """What to store of a channel's value under its name."""
    if type(value) is not list or len(value) < 2:
        yield "b", name, framed(serde.dumps_typed(value))
        return
    pieces: list[bytes] = []
    piece: list[bytes] = []
    size = 0
    for element in value:
        # An array of one, without its head: so each element is msgpack, also None and bytes.
        data = serde.dumps_typed([element])[1][1:]
        piece.append(data)
        size += len(data)
        if size >= PIECE_BYTES:
            pieces.append(b"".join(piece))
            piece, size = [], 0
    if piece:
        pieces.append(b"".join(piece))
    count = len(value).to_bytes(4, "big")
    if len(pieces) == 1:
        yield "b", name, _MSGPACK + _ARRAY + count + pieces[0]
        return
    digests = [blake2b(data, digest_size=DIGEST_BYTES).digest() for data in pieces]
    for digest, data in zip(digests, pieces, strict=True):
        yield "s", digest, data
    yield "l", name, count + b"".join(digests)


def fields_under(
    namespace: str,
    values: Mapping[str, Any],
    versions: Mapping[str, str | int | float],
    *,
    serde: SerializerProtocol,
) -> list[Field]:
    """What to store of those values that have a version here."""
    return [
        field
        for channel, version in versions.items()
        if channel in values
        for field in fields_of(
            values[channel], joined(namespace, channel, str(version)), serde=serde
        )
    ]


class Pieces:
    """Which pieces of lists this process stored of late: they need not be sent again.

    Only a belief, which the script that puts a checkpoint checks.
    """

    def __init__(self, *, threads: int = 512, each: int = 512) -> None:
        self._known: OrderedDict[str, set[bytes]] = OrderedDict()
        self._threads = threads
        self._each = each

    def new(self, thread_id: str, fields: Sequence[Field]) -> list[Field]:
        """What is not known to be stored; from now on it is."""
        digests = {cast("bytes", name) for kind, name, _ in fields if kind == "s"}
        known = self._known.pop(thread_id, set())
        found = [field for field in fields if field[0] != "s" or field[1] not in known]
        if digests or known:
            together = known | digests
            self._known[thread_id] = digests if len(together) > self._each else together
        while len(self._known) > self._threads:
            self._known.popitem(last=False)
        return found


def unpacked_writes(stored: bytes) -> Iterator[tuple[int, bytes]]:
    """The writes of one task: each a number, a length, a foreign run, and so many bytes."""
    at = 0
    while at < len(stored):
        head = stored.index(b"\x1e", at)
        number, length, _ = stored[at:head].split(b" ", 2)
        at = head + 1 + int(length)
        yield int(number), stored[head + 1 : at]


def packed_head(each: Stored, refs: Sequence[str]) -> str:
    """What the scripts and the retention know of a checkpoint."""
    lead = [joined(each.run_id), joined(each.parent), joined(each.root)]
    return RECORD.join([*lead, joined(*sorted(each.deltas)), *refs])


def unpacked_head(name: bytes, head: bytes, *, writers: bytes, paused: bool) -> Stored:
    namespace, checkpoint_id = name.decode().split(UNIT)
    run_id, parent, root, deltas, *refs = head.decode().split(RECORD)
    return Stored(
        namespace=namespace,
        checkpoint_id=checkpoint_id,
        parent=parent,
        root=root,
        run_id=run_id,
        held=frozenset(ref.split(UNIT)[0] for ref in refs),
        deltas=frozenset(deltas.split(UNIT)) if deltas else frozenset(),
        writers=frozenset(writers.decode().split(RECORD)) if writers else frozenset(),
        paused=paused,
    )


def delta_history(ancestors: Sequence[CheckpointTuple], channel: str) -> DeltaChannelHistory:
    """A channel's writes, oldest first, since the nearest ancestor that holds its value."""
    writes: list[Any] = []
    for each in ancestors:
        writes += [w for w in reversed(each.pending_writes or []) if w[1] == channel]
        if channel in each.checkpoint["channel_values"]:
            seed = each.checkpoint["channel_values"][channel]
            return {"writes": writes[::-1], "seed": seed}
    return {"writes": writes[::-1]}


def pairs(flat: Sequence[bytes]) -> Iterator[tuple[bytes, bytes]]:
    words = iter(flat)
    return zip(words, words, strict=True)
