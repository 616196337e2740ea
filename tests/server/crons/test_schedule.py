"""When a schedule comes up next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.crons.schedule import NAMES, ScheduleError, next_fire, zone
from tests import examples

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = (
    "UTC Europe/Berlin America/New_York Africa/Cairo Asia/Beirut Australia/Lord_Howe"
    " Asia/Kolkata America/Santiago Pacific/Apia"
).split()


def at(text: str) -> datetime:
    """A time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def fires(schedule: str, after: str, *, times: int, tz: str = "Europe/Berlin") -> list[str]:
    """The next times, as UTC without it being said."""
    found, moment = [], at(after)
    for _ in range(times):
        coming = next_fire(schedule, zone(tz), moment)
        assert coming is not None
        moment = coming
        found.append(moment.replace(tzinfo=None).isoformat(timespec="seconds"))
    return found


def part(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high).map(str)
    several = st.lists(st.integers(low, high), min_size=1, max_size=3).map(
        lambda found: ",".join(map(str, found))
    )
    step = st.integers(1, high).map(lambda one: f"*/{one}")
    return st.one_of(st.just("*"), number, several, step)


fields = st.tuples(part(0, 59), part(0, 23), part(1, 28), part(1, 12), part(0, 6))
moments = st.integers(0, 40 * 366 * 86400 * 10).map(
    lambda tenths: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=tenths / 10)
)


@settings(max_examples=examples.times(150), deadline=None)
@given(fields, part(0, 59) | st.none(), st.sampled_from(ZONES), moments)
def test_the_next_time_is_strictly_later_and_nothing_is_in_between(
    five: tuple[str, ...], second: str | None, tz: str, after: datetime
) -> None:
    schedule = " ".join([*five, *([second] if second is not None else [])])
    found = next_fire(schedule, zone(tz), after)
    assert found is not None
    assert found > after
    # Asked from anywhere before it and after `after`, it is the same one.
    between = after + (found - after) / 2
    if after < between < found:
        assert next_fire(schedule, zone(tz), between) == found
    assert next_fire(schedule, zone(tz), found - timedelta(microseconds=1)) == found


@settings(max_examples=examples.times(150), deadline=None)
@given(part(0, 59), part(0, 23), moments)
def test_in_utc_each_time_is_what_the_fields_say(minute: str, hour: str, after: datetime) -> None:
    found = next_fire(f"{minute} {hour} * * *", UTC, after)
    assert found is not None
    assert (found.second, found.microsecond) == (0, 0)
    for given_, is_ in ((minute, found.minute), (hour, found.hour)):
        if given_.startswith("*/"):
            assert is_ % int(given_[2:]) == 0
        elif given_ != "*":
            assert is_ in {int(word) for word in given_.split(",")}


@settings(max_examples=examples.times(60), deadline=None)
@given(st.integers(0, 23), st.integers(0, 59), st.sampled_from(ZONES), st.integers(2001, 2035))
def test_a_fixed_time_comes_once_a_day_all_year(hour: int, minute: int, tz: str, year: int) -> None:
    # Samoa skipped a whole day in 2011, so it is left out for that year.
    if (tz, year) == ("Pacific/Apia", 2011):
        return
    days, moment = [], datetime(year, 1, 1, tzinfo=zone(tz)) - timedelta(seconds=1)
    for _ in range(365):
        found = next_fire(f"{minute} {hour} * * *", zone(tz), moment)
        assert found is not None
        moment = found
        days.append(found.astimezone(zone(tz)).date())
    assert all(b - a == timedelta(days=1) for a, b in pairwise(days))


def test_a_time_that_spring_skips_comes_at_the_end_of_the_gap() -> None:
    # On 29 March 2026 at 01:00 UTC the clocks go from 02:00 to 03:00.
    assert fires("30 2 * * *", "2026-03-27T12:00:00", times=3) == [
        "2026-03-28T01:30:00",
        "2026-03-29T01:00:00",
        "2026-03-30T00:30:00",
    ]


def test_a_time_that_autumn_repeats_comes_once() -> None:
    # On 25 October 2026 at 01:00 UTC the clocks go from 03:00 back to 02:00.
    assert fires("30 2 * * *", "2026-10-24T12:00:00", times=2) == [
        "2026-10-25T00:30:00",
        "2026-10-26T01:30:00",
    ]


def test_asked_in_the_second_pass_of_a_repeated_hour_it_names_no_time_that_has_been() -> None:
    assert fires("30 2 * * *", "2026-10-25T01:10:00", times=1) == ["2026-10-26T01:30:00"]


def test_what_repeats_goes_by_elapsed_time_over_both_changes() -> None:
    assert fires("*/30 * * * *", "2026-03-29T00:30:00", times=3) == [
        "2026-03-29T01:00:00",
        "2026-03-29T01:30:00",
        "2026-03-29T02:00:00",
    ]
    assert fires("*/30 * * * *", "2026-10-25T00:00:00", times=4) == [
        "2026-10-25T00:30:00",
        "2026-10-25T01:00:00",
        "2026-10-25T01:30:00",
        "2026-10-25T02:00:00",
    ]


def test_a_sixth_field_is_the_seconds() -> None:
    assert fires("0 9 * * * 30", "2026-01-01T00:00:00", times=1, tz="UTC") == [
        "2026-01-01T09:00:30"
    ]
    assert fires("* * * * * */20", "2026-01-01T00:00:00", times=3, tz="UTC") == [
        "2026-01-01T00:00:20",
        "2026-01-01T00:00:40",
        "2026-01-01T00:01:00",
    ]


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_name_stands_for_its_fields(name: str) -> None:
    after = at("2026-05-05T05:05:05")
    assert next_fire(name, BERLIN, after) == next_fire(NAMES[name], BERLIN, after)
    assert next_fire(name.upper(), BERLIN, after) is not None


def test_the_timezone_decides_what_nine_o_clock_is() -> None:
    assert fires("0 9 * * *", "2026-01-01T00:00:00", times=1) == ["2026-01-01T08:00:00"]
    assert fires("0 9 * * *", "2026-01-01T00:00:00", times=1, tz="Asia/Kolkata") == [
        "2026-01-01T03:30:00"
    ]


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * * *", "five fields"),
        ("61 * * * *", "minute"),
        ("* 24 * * *", "hour"),
        ("* * 30 2 *", "day-of-month"),
        ("@reboot", "no schedule"),
        ("*/0 * * * *", "minute"),
        ("٣ * * * *", "plain"),
        ("1," * 150 + "1 * * * *", "at most"),
    ],
)
def test_a_schedule_that_cannot_be_read_says_why(schedule: str, says: str) -> None:
    with pytest.raises(ScheduleError, match=says):
        next_fire(schedule, UTC, at("2026-01-01T00:00:00"))


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "/etc/passwd", "CET\x00"])
def test_a_timezone_that_there_is_none_of_is_refused(name: str) -> None:
    with pytest.raises(ScheduleError, match="no timezone"):
        zone(name)


def test_a_schedule_that_can_never_come_has_no_next_time() -> None:
    # The fifth Monday in February is in a leap year's only.
    assert next_fire("0 0 31 2 1#5", UTC, datetime(9999, 12, 31, tzinfo=UTC)) is None
