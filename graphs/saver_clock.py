"""Checkpoint ids are times, and the greatest one is a thread's latest, whoever's clock made it.

A worker whose clock is behind would go on from a checkpoint with ids that lie before it, so that
its own steps would never become the latest. So ids made here come after each one that was read.
"""

from __future__ import annotations

from langgraph.checkpoint.base import id as ids

_LAST = "_last_v6_timestamp"


def catch_up(checkpoint_id: str) -> None:
    """From now on this process makes ids behind this one; ids of other kinds are passed over."""
    try:
        read = ids.UUID(hex=checkpoint_id)
    except ValueError:
        return
    # LangGraph's generator never goes back behind this, and there is no other way to tell it.
    if read.version == 6 and read.time > (getattr(ids, _LAST) or 0):
        setattr(ids, _LAST, read.time)
