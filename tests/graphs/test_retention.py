"""What of a thread's history stays: the decision, over histories of any shape."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphs.retention import (
    KeepAll,
    KeepLast,
    KeepLatestAtEnd,
    Name,
    Retention,
    Stored,
    is_due,
    latest,
    parse,
    superfluous,
)
from tests import examples

# A history is drawn checkpoint by checkpoint: slow only where the machine is busy.
whole = settings(
    max_examples=examples.times(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)

SPACES = ("", "lasting", "call:1", "call:2|inner:3")


@st.composite
def histories(draw: st.DrawFn) -> list[Stored]:
    """Checkpoints as they come: each follows one of its namespace, calls belong to a root."""
    found: list[Stored] = []
    for number in range(draw(st.integers(0, 25))):
        space = draw(st.sampled_from(SPACES))
        before = [each.checkpoint_id for each in found if each.namespace == space]
        roots = [each.checkpoint_id for each in found if not each.namespace]
        if space and not roots:
            space = ""
        held = draw(st.sets(st.sampled_from("abc")))
        found.append(
            Stored(
                namespace=space,
                checkpoint_id=f"{number:03}",
                parent=draw(st.sampled_from(["", *before[-3:]])) if before else "",
                root=roots[-1] if space and roots else "",
                held=frozenset(held),
                deltas=frozenset(draw(st.sets(st.sampled_from("abc")))),
                paused=draw(st.booleans()),
            )
        )
    return found


def left(stored: list[Stored], retention: Retention) -> set[Name]:
    return {each.name for each in stored} - set(superfluous(stored, retention))


def newest(stored: list[Stored], space: str, count: int) -> set[Name]:
    return {each.name for each in [each for each in stored if each.namespace == space][-count:]}


def assert_readable(stored: list[Stored], start: Name, kept: set[Name]) -> None:
    """Each delta channel is found on the way back, or the way leads to the very beginning."""
    by_name = {each.name: each for each in stored}
    for channel in by_name[start].deltas:
        cursor: Stored | None = by_name[start]
        while cursor is not None:
            assert cursor.name in kept
            if channel in cursor.held:
                break
            cursor = by_name.get((cursor.namespace, cursor.parent))


@whole
@given(histories(), st.integers(1, 6))
def test_the_last_so_many_of_each_lasting_namespace_stay_and_can_be_read(
    stored: list[Stored], count: int
) -> None:
    kept = left(stored, KeepLast(count=count))
    for space in ("", "lasting"):
        wanted = newest(stored, space, count)
        assert wanted <= kept
        for name in wanted:
            assert_readable(stored, name, kept)


@whole
@given(histories(), st.integers(1, 6))
def test_without_delta_channels_no_more_stay(stored: list[Stored], count: int) -> None:
    plain = [
        Stored(namespace=e.namespace, checkpoint_id=e.checkpoint_id, parent=e.parent, root=e.root)
        for e in stored
    ]
    kept = left(plain, KeepLast(count=count))
    for space in SPACES:
        assert len([name for name in kept if name[0] == space]) <= count


@whole
@given(histories(), st.integers(1, 6))
def test_a_subgraphs_call_stays_exactly_as_long_as_its_caller(
    stored: list[Stored], count: int
) -> None:
    kept = left(stored, KeepLast(count=count))
    for each in stored:
        if ":" in each.namespace and each.name in kept:
            assert ("", each.root) in kept
    latest_root = max((e.checkpoint_id for e in stored if not e.namespace), default="")
    for space in SPACES[2:]:
        of_latest = [e for e in stored if e.namespace == space and e.root == latest_root]
        assert {each.name for each in of_latest[-1:]} <= kept


@whole
@given(histories())
def test_a_paused_thread_is_left_alone_and_another_comes_down_to_its_latest(
    stored: list[Stored],
) -> None:
    roots = [each for each in stored if not each.namespace]
    gone = superfluous(stored, KeepLatestAtEnd())
    if roots and roots[-1].paused:
        assert gone == []
    else:
        assert gone == superfluous(stored, KeepLast(count=1))


@whole
@given(histories(), st.sampled_from([KeepAll(), KeepLast(count=2), KeepLatestAtEnd()]))
def test_deciding_again_changes_nothing(stored: list[Stored], retention: Retention) -> None:
    kept = left(stored, retention)
    assert left([each for each in stored if each.name in kept], retention) == kept


@whole
@given(histories())
def test_pruning_keeps_the_latest_of_every_namespace(stored: list[Stored]) -> None:
    kept = latest(stored)
    for space in SPACES:
        for name in newest(stored, space, 1):
            assert_readable(stored, name, kept)
            assert name in kept


def test_a_retention_is_a_word_or_a_number() -> None:
    assert parse("all") == KeepAll()
    assert parse("latest") == KeepLatestAtEnd()
    assert parse("20") == KeepLast(count=20)
    for wrong in ("0", "-1", "some", "", "1.5", "²"):
        with pytest.raises(ValueError, match="use all, latest, or a number"):
            parse(wrong)


@whole
@given(st.integers(1, 5000), st.integers(0, 20_000))
def test_a_thread_is_looked_through_now_and_then_and_not_at_each_step(
    kept: int, count: int
) -> None:
    every = max(8, kept // 4)
    due = [n for n in range(count, count + every) if is_due(n, KeepLast(count=kept))]
    assert len(due) == 1 or count <= kept
    assert all(n >= kept + every for n in due)
    assert not is_due(count, KeepAll())
