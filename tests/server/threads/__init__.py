"""Threads: records, states, time travel."""
