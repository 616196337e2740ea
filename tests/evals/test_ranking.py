"""Our measures are ranx's, and the interval holds the mean."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from evals import ranking

# Rankings and values as ranx 0.3 gives them.
RANX = json.loads(Path(__file__).with_name("ranx.json").read_text("utf-8"))


@pytest.mark.parametrize("measure", ranking.MEASURES)
def test_every_measure_equals_that_of_ranx(measure: str) -> None:
    ours = ranking.per_query(measure, RANX["run"], qrels=RANX["qrels"])
    assert ours == pytest.approx(RANX["values"][measure], abs=1e-9)
    assert len(ours) == 40
    assert len(set(ours.values())) > 1


def test_measures_by_hand() -> None:
    relevant = {"a": 1, "b": 1}
    found = ["x", "a", "y", "b"]
    best = 1 + 1 / math.log2(3)
    dcg = 1 / math.log2(3) + 1 / math.log2(5)
    assert ranking.measure("ndcg@10", found, relevant=relevant) == pytest.approx(dcg / best)
    assert ranking.measure("mrr@10", found, relevant=relevant) == 0.5
    assert ranking.measure("recall@3", found, relevant=relevant) == 0.5
    assert ranking.measure("hit@1", found, relevant=relevant) == 0.0
    assert ranking.measure("hit@3", found, relevant=relevant) == 1.0


def test_a_question_that_the_run_lacks_counts_as_zero() -> None:
    assert ranking.per_query("hit@1", {}, qrels={"q": {"a": 1}}) == {"q": 0.0}


def test_an_unknown_measure_is_named() -> None:
    with pytest.raises(ValueError, match="map@10"):
        ranking.measure("map@10", ["a"], relevant={"a": 1})


def test_the_interval_holds_the_mean_and_is_the_same_again() -> None:
    values = [0.0, 1.0] * 50
    found = ranking.estimate(values)
    assert found.mean == 0.5
    assert found.low < 0.5 < found.high
    assert found.high - found.low == pytest.approx(0.2, abs=0.03)
    assert ranking.estimate(values) == found
