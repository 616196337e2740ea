"""Which of a model's endpoints the next call goes to. Pure: no IO."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass

from models.vllm_metrics import EngineMetrics

# Requests that share a batch slow each other down; one that waits does nothing else.
_RUNNING_WEIGHT = 0.25
# A cache this full is about to push requests out and to compute them anew.
_KV_FULL_FROM = 0.85
_KV_WEIGHT = 8.0
# In requests: a prefix that is in the cache is worth waiting for so many others.
_SLACK = 2.0
_SLACK_SHARE = 0.25


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An endpoint that could take the call.

    ``metrics`` are its own words, None where it has none or they are stale; ``in_flight`` counts
    our calls there, ``since`` those of them that began after the metrics were read.
    """

    url: str
    in_flight: int = 0
    metrics: EngineMetrics | None = None
    since: int = 0


def choose(candidates: Sequence[Candidate], *, session: str, rng: random.Random) -> Candidate:
    """The least loaded one; among those about as loaded, the one that the session prefers.

    Where each has told its load, all are compared. Where one has not, two are compared by our own
    calls: the power of two choices. Raises ValueError where there is none.
    """
    if not candidates:
        raise ValueError("there is nothing to choose from")
    order = _preferred(candidates, session) if session else _shuffled(candidates, rng)
    if any(one.metrics is None for one in order):
        order = order[:2]
        loads = [float(one.in_flight) for one in order]
    else:
        loads = [load(one) for one in order]
    least = min(loads)
    bound = least + (max(_SLACK, _SLACK_SHARE * least) if session else 0.0)
    return next(one for one, its in zip(order, loads, strict=True) if its <= bound)


def load(candidate: Candidate) -> float:
    """How long the line at an endpoint is, in requests; it has metrics."""
    metrics = candidate.metrics
    assert metrics is not None
    full = max(0.0, (metrics.kv_cache or 0.0) - _KV_FULL_FROM) / (1 - _KV_FULL_FROM)
    # What we sent since then waits where others wait already.
    since = candidate.since * (1.0 if metrics.waiting else _RUNNING_WEIGHT)
    return metrics.waiting + _RUNNING_WEIGHT * metrics.running + since + _KV_WEIGHT * full


def _preferred(candidates: Sequence[Candidate], session: str) -> list[Candidate]:
    """By rendezvous hashing: the same in every process, and an endpoint that goes takes along
    nobody but its own sessions."""

    def rank(one: Candidate) -> bytes:
        return hashlib.blake2b(f"{session}\0{one.url}".encode(), digest_size=8).digest()

    return sorted(candidates, key=rank)


def _shuffled(candidates: Sequence[Candidate], rng: random.Random) -> list[Candidate]:
    return rng.sample(list(candidates), len(candidates))
