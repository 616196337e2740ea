"""Whether a Redis that was given by URL is one that serves; the embedded one is known to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

_OLDEST = {"redis": (7, 2), "valkey": (8, 0)}
_NEARLY = 0.9
_MEBIBYTE = 1024**2


class RedisUnusable(Exception):  # noqa: N818 - it says what is wrong
    """The Redis of ``redis_url`` cannot be used; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class RedisFacts:
    """What was found. ``durability``: what it keeps, in words; ``has_disk``: whether it writes an
    append-only file; ``replicas``: how many follow it; ``full``: that it takes nothing new, with
    the remedy, or ''; ``warnings``: what it may lose or soon refuse."""

    product: str
    version: str
    durability: str = ""
    has_disk: bool = False
    replicas: int = 0
    full: str = ""
    warnings: tuple[str, ...] = ()


def shown(url: str) -> str:
    """The URL without user and password."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}"


async def check(redis: Redis, *, url: str) -> RedisFacts:
    """Ask the server what it is. Raises RedisUnusable."""
    where = f"redis_url: {shown(url)}"
    try:
        info: dict[str, Any] = await redis.info()
    except AuthenticationError as error:
        raise RedisUnusable(
            f"{where} refuses the password ({error}); write ':', the password and '@' in front of "
            "the host in COUNTERPOINT_REDIS_URL"
        ) from error
    except ResponseError as error:
        raise RedisUnusable(f"{where} refuses us: {error}") from error
    except (RedisError, OSError) as error:
        raise RedisUnusable(
            f"{where} cannot be reached ({_reason(error)}); start it, correct "
            "COUNTERPOINT_REDIS_URL, or unset it to use the embedded one"
        ) from error
    product = "valkey" if "valkey_version" in info else "redis"
    version = str(info.get(f"{product}_version", "0.0"))
    numbers = tuple(int(part) for part in version.split(".")[:2])
    if numbers < _OLDEST[product]:
        raise RedisUnusable(
            f"{where} is {product} {version}; Redis 7.2 or Valkey 8.0 or newer is needed: update "
            "it, or unset COUNTERPOINT_REDIS_URL to use the embedded one"
        )
    if int(info.get("cluster_enabled", 0)):
        raise RedisUnusable(
            f"{where} is a node of a cluster; one primary is needed, with or without replicas: "
            "give the URL of one that is not"
        )
    if info.get("role", "master") != "master":
        raise RedisUnusable(
            f"{where} is a replica, which takes no writes; give the URL of its primary in "
            "COUNTERPOINT_REDIS_URL"
        )
    used = _used(info)
    full, nearly = used >= 1, _NEARLY <= used < 1
    return RedisFacts(
        product=product,
        version=version,
        durability=_durability(info),
        replicas=int(info.get("connected_slaves", 0)),
        has_disk=bool(int(info.get("aof_enabled", 0))),
        full=f"{shown(url)} {_filled(info, 'full')}" if full else "",
        warnings=tuple(
            f"{shown(url)} {said}"
            for said in (*_losses(info), *([_filled(info, "nearly full")] if nearly else ()))
        ),
    )


def _durability(info: Mapping[str, Any]) -> str:
    kept = "append-only file" if int(info.get("aof_enabled", 0)) else "no append-only file"
    replicas = int(info.get("connected_slaves", 0))
    return f"{kept}, {replicas} replica{'' if replicas == 1 else 's'}"


def _losses(info: Mapping[str, Any]) -> Iterator[str]:
    """What makes it lose state, each with its remedy behind the last semicolon."""
    policy = str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        yield f"may throw state away (maxmemory-policy {policy}); set it to noeviction"
    if not int(info.get("aof_enabled", 0)):
        yield (
            "keeps no append-only file, so that a crash loses runs that were accepted; set "
            "`appendonly yes`"
        )
    elif str(info.get("aof_last_write_status", "ok")) != "ok":
        yield "cannot write its append-only file; free some space on its disk"
    if int(info.get("connected_slaves", 0)) and "min_slaves_good_slaves" not in info:
        yield (
            "takes writes also when it has lost its replicas, and a failover then loses them; "
            "set `min-replicas-to-write 1`"
        )


def _used(info: Mapping[str, Any]) -> float:
    """The share of its ``maxmemory`` that is taken; 0 where it has none."""
    most = int(info.get("maxmemory", 0))
    if not most or str(info.get("maxmemory_policy", "noeviction")) != "noeviction":
        return 0.0
    return _counted(info) / most


def _counted(info: Mapping[str, Any]) -> int:
    """Bytes that Redis counts against its ``maxmemory``: not its buffers for replicas and disk."""
    return int(info.get("used_memory", 0)) - int(info.get("mem_not_counted_for_evict", 0))


def _filled(info: Mapping[str, Any], how: str) -> str:
    used, most = (n / _MEBIBYTE for n in (_counted(info), int(info["maxmemory"])))
    return (
        f"is {how} ({used:,.0f} of {most:,.0f} MiB), and a full one refuses whatever is new; "
        "delete threads (POST /threads/prune, DELETE /threads/THREAD: a full one takes that), or "
        "raise its maxmemory"
    )


async def slow(redis: Redis) -> str:
    """What makes every accepted run wait, with its remedy; '' for nothing, or not known."""
    try:
        found: Mapping[Any, Any] = await redis.config_get("appendonly", "appendfsync") or {}
    except (RedisError, OSError):
        return ""
    said = [word.decode() if isinstance(word, bytes) else str(word) for word in found.values()]
    if "yes" not in said or "always" in said:
        return ""
    return (
        "Redis syncs its append-only file once a second or less, and every accepted run waits for "
        "that; set `appendfsync always`"
    )


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
