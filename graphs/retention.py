"""How much of a thread's history stays: a decision over what is stored, without IO.

What a kept checkpoint is read with stays too: the ancestors that its delta channels follow from,
and the checkpoints of the subgraphs that were called from it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

Name = tuple[str, str]
"""Namespace and id of a checkpoint."""

_CALL = ":"


@dataclass(frozen=True, kw_only=True)
class KeepAll:
    """Every step: the whole past can be looked at and gone back to."""


@dataclass(frozen=True, kw_only=True)
class KeepLast:
    """The newest ``count`` checkpoints of each namespace, at any time, and the one before the
    latest run, which may still be taken back."""

    count: int


@dataclass(frozen=True, kw_only=True)
class KeepLatestAtEnd:
    """Every step while a run goes on or waits for a person, the latest checkpoint afterwards."""


Retention = KeepAll | KeepLast | KeepLatestAtEnd


def parse(text: str) -> Retention:
    """``all``, ``latest``, or how many. Raises ValueError, with a line for people."""
    if text == "all":
        return KeepAll()
    if text == "latest":
        return KeepLatestAtEnd()
    if text.isascii() and text.isdigit() and int(text) > 0:
        return KeepLast(count=int(text))
    raise ValueError(f"{text!r} is no retention: use all, latest, or a number of checkpoints")


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What a decision has to know of a checkpoint.

    ``root`` is the checkpoint of the outermost graph from which a subgraph was called. ``held``
    are the channels whose value it has itself, ``deltas`` those that follow from earlier writes.
    ``paused``: somebody is asked something there. ``writers`` are the other runs that left pending
    writes there.
    """

    namespace: str
    checkpoint_id: str
    parent: str = ""
    root: str = ""
    run_id: str = ""
    held: frozenset[str] = frozenset()
    deltas: frozenset[str] = frozenset()
    paused: bool = False
    writers: frozenset[str] = frozenset()

    @property
    def name(self) -> Name:
        return self.namespace, self.checkpoint_id


def is_due(count: int, retention: Retention) -> bool:
    """Whether a namespace that has just come to so many checkpoints is to be looked through.

    Now and then, also where delta channels keep more than was asked for.
    """
    if not isinstance(retention, KeepLast) or count <= retention.count:
        return False
    return (count - retention.count) % max(8, retention.count // 4) == 0


def superfluous(stored: Sequence[Stored], retention: Retention) -> list[Name]:
    """The checkpoints that may go once a run has ended; of a paused thread by count only."""
    match retention:
        case KeepAll():
            return []
        case KeepLast(count=count):
            kept = _called(stored, count=count, before=True)
        case KeepLatestAtEnd():
            outermost = [each for each in stored if not each.namespace]
            if outermost and max(outermost, key=lambda each: each.checkpoint_id).paused:
                return []
            kept = _called(stored, count=1)
    return [each.name for each in stored if each.name not in kept]


def latest(stored: Sequence[Stored]) -> set[Name]:
    """Each namespace's newest checkpoint, and what it is read with."""
    return _with_lineage(stored, _newest(stored, count=1))


def ancestors(stored: Sequence[Stored], start: Name, channels: Collection[str]) -> list[Name]:
    """Whose writes make up channels at a checkpoint, newest first; of the latest for no id."""
    by_name = {each.name: each for each in stored}
    own = [each.checkpoint_id for each in stored if each.namespace == start[0]]
    cursor = by_name.get((start[0], start[1] or max(own, default="")))
    wanted, found = set(channels), list[Name]()
    while cursor is not None and wanted:
        cursor = by_name.get((cursor.namespace, cursor.parent))
        if cursor is not None:
            found.append(cursor.name)
            wanted -= cursor.held
    return found


def _called(stored: Sequence[Stored], *, count: int, before: bool = False) -> set[Name]:
    """The newest of each namespace, and the one before its latest run where that is wanted; of the
    calls of subgraphs, those whose caller stays."""
    lasting = [each for each in stored if not _is_call(each)]
    chosen = _newest(lasting, count=count)
    if before:
        latest_run = {each.namespace: each.run_id for each in _newest(lasting, count=1)}
        others = [each for each in lasting if each.run_id != latest_run[each.namespace]]
        chosen += _newest(others, count=1)
    kept = _with_lineage(lasting, chosen)
    calls = [each for each in stored if _is_call(each) and ("", each.root) in kept]
    return kept | _with_lineage(calls, _newest(calls, count=count))


def _is_call(each: Stored) -> bool:
    """Whether its namespace is one call's own, and not a subgraph's lasting one."""
    return bool(each.root) and _CALL in each.namespace


def _newest(stored: Iterable[Stored], *, count: int) -> list[Stored]:
    by_namespace: defaultdict[str, list[Stored]] = defaultdict(list)
    for each in stored:
        by_namespace[each.namespace].append(each)
    return [
        each
        for group in by_namespace.values()
        for each in sorted(group, key=lambda each: each.checkpoint_id)[-count:]
    ]


def _with_lineage(stored: Iterable[Stored], chosen: Iterable[Stored]) -> set[Name]:
    """The chosen, and their ancestors as far as their delta channels need them."""
    by_name: Mapping[Name, Stored] = {each.name: each for each in stored}
    kept: set[Name] = set()
    for start in chosen:
        wanted, cursor = set(start.deltas), by_name.get(start.name)
        while cursor is not None:
            kept.add(cursor.name)
            wanted -= cursor.held
            if not wanted:
                break
            cursor = by_name.get((cursor.namespace, cursor.parent))
    return kept
