"""What an attempt used."""

from __future__ import annotations

from typing import Any

import pytest

from models.attempts import TokenUsage
from models.pieces import Usage


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens_details": None}, None),
        ({"prompt_tokens_details": {"cached_tokens": "many"}}, None),
        ({"prompt_tokens_details": {"cached_tokens": True}}, None),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, 0),
        ({"prompt_tokens_details": {"cached_tokens": 64}}, 64),
        ({"prompt_tokens_details": {"cached_tokens": -1}}, 0),
    ],
)
def test_cached_tokens_are_known_only_where_the_provider_says_so(
    details: dict[str, Any] | None, cached: int | None
) -> None:
    assert Usage(100, 10, details).cached_tokens == cached


def test_a_sum_knows_the_cached_tokens_of_those_that_were_told() -> None:
    told, untold = TokenUsage(cached_tokens=3), TokenUsage()
    assert (untold + untold).cached_tokens is None
    assert (told + untold).cached_tokens == 3
    assert (untold + told + told).cached_tokens == 6
