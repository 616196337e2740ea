"""How many generated examples a test tries: the same few each time, or many others."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

SUITE = "suite"
WIDE = "wide"
_USUAL = 100
_SUITE = 50
_WIDE = 5 * _USUAL


def register() -> None:
    """The two profiles: ``make test`` repeats itself, ``make test-full`` looks further.

    No example is too slow. What fails in the wide one is told with the line that repeats it.
    """
    settings.register_profile(
        SUITE,
        deadline=None,
        derandomize=True,
        max_examples=_SUITE,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile(
        WIDE,
        deadline=None,
        derandomize=False,
        max_examples=_WIDE,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )


def times(examples: int) -> int:
    """Half as many as this in ``make test``, five times as many where more are asked for."""
    now = settings.get_profile(settings.get_current_profile_name())
    return examples * now.max_examples // _USUAL
