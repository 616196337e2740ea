"""Numbers with their units."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.quantities import Quantity, quantities, states


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("within 2 business days", "2", "day"),
        ("2 hours [3]", "2", "hour"),
        ("1,240 EUR a month", "1240", "eur"),
        ("99.5 % or more", "99.5", "%"),
        ("| 16 | EUR", "16", ""),
        ("3 tickets a day", "3", ""),
        ("page 4. Days", "4", ""),
    ],
)
def test_a_number_is_read_with_the_unit_behind_it(text: str, value: str, unit: str) -> None:
    assert quantities(text) == {Quantity(value=Decimal(value), unit=unit)}


@pytest.mark.parametrize(
    ("text", "claim", "held"),
    [
        ("Answered within 2 hours.", "2 hours", True),
        ("Answered within 2 hours.", "2 days", False),
        ("| Business | 2 |", "2 days", True),
        ("Two days are enough.", "2 days", True),
        ("Within 3 days.", "2 days", False),
    ],
)
def test_a_text_states_a_quantity_only_in_its_unit(text: str, claim: str, held: bool) -> None:
    assert states(text, quantities(claim)) is held


@given(st.text(max_size=80))
def test_every_text_states_its_own_quantities(text: str) -> None:
    assert states(text, quantities(text))
