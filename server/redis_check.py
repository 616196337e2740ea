"""Whether a Redis that was given by URL is one that serves; the embedded one is known to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

_OLDEST = {"redis": (7, 2), "valkey": (8, 0)}


class RedisUnusable(Exception):  # noqa: N818 - it says what is wrong
    """The Redis of ``redis_url`` cannot be used; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class RedisFacts:
    """What was found; ``warning`` is empty where all is well."""

    product: str
    version: str
    warning: str = ""


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
            f"{where} refuses the password ({error}); write it as "
            "redis://:PASSWORD@HOST:PORT in COUNTERPOINT_REDIS_URL"
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
    policy = str(info.get("maxmemory_policy", "noeviction"))
    warning = ""
    if policy != "noeviction":
        warning = (
            f"{shown(url)} may throw state away (maxmemory-policy {policy}); set it to noeviction"
        )
    return RedisFacts(product=product, version=version, warning=warning)


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
