"""Runs that begin by the clock: schedules, records, and who fires them."""
