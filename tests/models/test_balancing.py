"""Which endpoint the next call goes to."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.balancing import Candidate, choose, load
from models.vllm_metrics import EngineMetrics

A, B, C = "http://a:8000/v1", "http://b:8000/v1", "http://c:8000/v1"


def told(
    url: str, *, waiting: int = 0, running: int = 0, kv: float = 0.0, since: int = 0
) -> Candidate:
    metrics = EngineMetrics(running=running, waiting=waiting, kv_cache=kv)
    return Candidate(url=url, metrics=metrics, since=since)


def chosen(*candidates: Candidate, session: str = "") -> str:
    return choose(candidates, session=session, rng=random.Random(1)).url


def test_the_one_with_the_shorter_line_is_chosen() -> None:
    assert chosen(told(A, waiting=1), told(B, running=3)) == B
    assert chosen(told(A, running=2), told(B, running=3)) == A
    assert chosen(told(A, kv=0.99), told(B, running=8)) == B


def test_what_was_sent_since_the_figures_were_read_counts_too() -> None:
    assert chosen(told(A, running=4, since=9), told(B, running=5)) == B


def test_without_figures_two_are_compared_by_our_own_calls() -> None:
    busy = Candidate(url=A, in_flight=5)
    rng = random.Random(7)
    idle = [Candidate(url=url) for url in (B, C)]
    picked = Counter(choose([busy, *idle], session="", rng=rng).url for _ in range(300))
    assert picked[A] == 0
    assert min(picked[B], picked[C]) > 100


def test_one_without_figures_has_all_compared_by_our_own_calls() -> None:
    assert chosen(Candidate(url=A, in_flight=1), told(B, waiting=50)) == B


def test_a_session_stays_where_its_prefix_is_unless_the_line_there_is_long() -> None:
    home = chosen(told(A), told(B), told(C), session="thread-1")
    others = [url for url in (A, B, C) if url != home]
    near = [told(home, running=6), *(told(url, running=1) for url in others)]
    assert chosen(*near, session="thread-1") == home
    far = [told(home, waiting=4), *(told(url, running=1) for url in others)]
    assert chosen(*far, session="thread-1") != home


def test_sessions_spread_over_all_endpoints() -> None:
    picked = Counter(chosen(told(A), told(B), told(C), session=f"t{n}") for n in range(300))
    assert min(picked.values()) > 60


def test_there_must_be_one() -> None:
    with pytest.raises(ValueError, match="nothing"):
        choose([], session="", rng=random.Random(1))


FIGURES = st.builds(
    told,
    st.just(""),
    waiting=st.integers(0, 50),
    running=st.integers(0, 200),
    kv=st.floats(0, 1),
    since=st.integers(0, 20),
)
FLEET = st.lists(FIGURES, min_size=1, max_size=6).map(
    lambda found: [replace(one, url=f"http://{n}:1/v1") for n, one in enumerate(found)]
)


@given(FLEET, st.integers())
def test_without_a_session_it_is_the_least_loaded_one(fleet: list[Candidate], seed: int) -> None:
    picked = choose(fleet, session="", rng=random.Random(seed))
    assert load(picked) == min(load(one) for one in fleet)


@given(FLEET, st.text(min_size=1), st.integers(), st.integers())
def test_a_session_gets_the_same_in_every_process_and_never_far_from_the_least_loaded(
    fleet: list[Candidate], session: str, one: int, other: int
) -> None:
    picked = choose(fleet, session=session, rng=random.Random(one))
    assert picked == choose(fleet[::-1], session=session, rng=random.Random(other))
    least = min(load(one) for one in fleet)
    assert load(picked) <= least + max(2.0, 0.25 * least)


@given(st.integers(2, 6), st.text(min_size=1))
def test_an_endpoint_that_goes_takes_along_nobody_but_its_own_sessions(
    count: int, session: str
) -> None:
    fleet = [told(f"http://{n}:1/v1") for n in range(count)]
    home = choose(fleet, session=session, rng=random.Random(1))
    for gone in fleet:
        if gone != home:
            rest = [one for one in fleet if one != gone]
            assert choose(rest, session=session, rng=random.Random(1)) == home
