"""What is left in Redis of runs: every index by its last word, where it has members."""

from __future__ import annotations

from typing import Any

from graphs.keys import Keys


async def indexes(redis: Any, keys: Keys) -> dict[str, set[str]]:
    """All sets of run ids that are not empty, threads' own lists of runs left out."""
    found: dict[str, set[str]] = {}
    for name in (
        "all",
        "due",
        "leases",
        "dispatched",
        "untold",
        "parked",
        "dead",
        "turns",
        "cancels",
    ):
        members = await redis.zrange(getattr(keys, f"runs_{name}"), 0, -1)
        if members:
            found[name] = {member.decode() for member in members}
    async for key in redis.scan_iter(match=f"{keys.prefix}*", count=1000):
        name = key.decode()
        if name.endswith(":running") and ":tenant:" in name:
            found[name] = {member.decode() for member in await redis.smembers(key)}
        elif name.endswith((":waiting", ":queue")):
            found[name] = {member.decode() for member in await redis.zrange(key, 0, -1)}
        elif ":fence:" in name:
            found[name] = {(await redis.get(key)).decode()}
    return found
