"""When a schedule comes up next. Pure.

Five fields, as crontab has them, or six with the seconds last; a name such as ``@daily`` for the
usual ones. Clock changes are as in Debian's cron: what stands at a fixed time comes once a day, at
the end of a gap where its time is skipped and the first time where it comes twice; what repeats by
a star in hours or minutes goes by elapsed time.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LONGEST = 200
NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class ScheduleError(ValueError):
    """A schedule or timezone that cannot be read; the message says why, in one line."""


def zone(name: str | None) -> tzinfo:
    """The timezone of an IANA name; UTC for none. Raises ScheduleError."""
    if not name or name.upper() in {"UTC", "Z"}:
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ScheduleError(
            f"no timezone {name[:60]!r}; use an IANA name such as Europe/Berlin"
        ) from None


def next_fire(schedule: str, tz: tzinfo, after: datetime) -> datetime | None:
    """The first time strictly after ``after``, in UTC; None if it never comes.

    Raises ScheduleError.
    """
    try:
        times = CronSim(_fields(schedule), after.astimezone(tz))
    except CronSimError as error:
        raise ScheduleError(f"{str(error)[0].lower()}{str(error)[1:]} in {schedule!r}") from None
    try:
        for found in times:
            at = found.astimezone(UTC)
            # On the second pass of a repeated hour a fixed time is named that has been.
            if at > after:
                return at
    except (RuntimeError, OverflowError, ValueError):
        # The year 10,000, or the end of the library's search.
        return None
    return None


def _fields(schedule: str) -> str:
    """The schedule as the library has it: the seconds first. Raises ScheduleError."""
    text = schedule.strip()
    if text.startswith("@"):
        if text.lower() not in NAMES:
            raise ScheduleError(f"no schedule {text[:30]!r}; use one of {', '.join(NAMES)}")
        return NAMES[text.lower()]
    if len(text) > LONGEST or not text.isascii():
        raise ScheduleError(f"must be at most {LONGEST} plain characters")
    parts = text.split()
    if len(parts) == 6:
        return " ".join([parts[5], *parts[:5]])
    if len(parts) != 5:
        raise ScheduleError(
            f"must have five fields, or six with the seconds last; {text[:60]!r} has {len(parts)}"
        )
    return text
