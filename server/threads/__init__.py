"""Threads: conversations with their records, states and history."""
