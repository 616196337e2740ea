"""Sends what is owed to webhooks. One in each worker process, and any of them is enough."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp
import certifi
import orjson
from aiohttp.abc import AbstractResolver
from redis.exceptions import RedisError
from yarl import URL

from server import patience
from server.clock import moment
from server.runs.record import RunRecord
from server.webhooks import message, signing
from server.webhooks.deliveries import Attempt, Deliveries, State
from server.webhooks.secret import Secrets
from tools.web import addresses
from tools.web.addresses import AddressError, Opened
from tools.web.resolver import JudgedResolver

POLL_SECONDS = 0.5
AT_ONCE = 8
SECONDS = 10.0
"""How long a receiver may take for one attempt; less than a claim holds."""
AT_SLOW = 2
"""Attempts at the same time at a receiver that lets us wait, so that others have their turn."""
PUT_OFF_SECONDS = 10.0
"""How long the first of what is over that waits, without an attempt that counts."""
MOST_PUT_OFF_SECONDS = 120.0
"""How long the last of them does."""
_GONE = 410
_MOST_SLOW = 10_000

_log = logging.getLogger(__name__)

Values = Callable[[RunRecord], Awaitable[Any]]
"""The state that a run ended or paused in, as plain JSON."""


class _NeverError(Exception):
    """This delivery can never succeed; the message says why."""


class Sender:
    """Claims deliveries and makes their attempts.

    ``opened`` is what may be called beside the public internet. ``base`` is where a webhook that is
    a path leads, which an operator chose and nobody judges.
    """

    def __init__(
        self,
        deliveries: Deliveries,
        *,
        secrets: Secrets,
        values: Values,
        opened: Opened | None = None,
        base: str | None = None,
        at_once: int = AT_ONCE,
        seconds: float = SECONDS,
        roll: Callable[[], float] = random.random,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._deliveries = deliveries
        self._secrets = secrets
        self._values = values
        self._opened = opened or Opened()
        self._base = base
        self._at_once = at_once
        self._seconds = seconds
        self._roll = roll
        self._resolver = resolver
        self._under_way: set[asyncio.Task[None]] = set()
        self._slow: dict[str, float] = {}
        self._busy: Counter[str] = Counter()
        self._judged: aiohttp.ClientSession | None = None
        self._trusted: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        judge = JudgedResolver(self._opened, inner=self._resolver)
        self._judged = self._session(judge)
        self._trusted = self._session(None)
        return self

    async def __aexit__(self, *_: object) -> None:
        # What was cut short is sent again when its claim is over.
        await patience.over(*self._under_way)
        for session in (self._judged, self._trusted):
            if session is not None:
                await session.close()

    async def run(self) -> None:
        """Send for ever."""
        while True:
            wait: float | None = POLL_SECONDS
            try:
                wait = await self._begin()
            except (RedisError, OSError) as error:
                _log.warning("cannot look for webhooks that are due: %s", error)
            except Exception:  # noqa: BLE001 - the edge of a loop that has to go on
                _log.exception("looking for webhooks that are due failed")
            seconds = POLL_SECONDS if wait is None else min(wait, POLL_SECONDS)
            if len(self._under_way) >= self._at_once:
                await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(seconds)

    async def tick(self) -> float | None:
        """Make every attempt that is due now; gives the seconds until another one may be."""
        while True:
            wait = await self._begin()
            if not self._under_way:
                return wait
            await asyncio.wait(self._under_way)

    async def _begin(self) -> float | None:
        """Begin as many attempts as there is room for."""
        while (free := self._at_once - len(self._under_way)) > 0:
            claimed = await self._deliveries.claim(most=free)
            put_off = []
            for attempt in claimed.attempts:
                at = _receiver(attempt.delivery.url)
                if at in self._slow and self._busy[at] >= AT_SLOW:
                    put_off.append((attempt.delivery, self._turn(at)))
                    continue
                self._busy[at] += 1
                task = asyncio.create_task(self._attempt(attempt, at), name="webhook")
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            for delivery, seconds in put_off:
                await self._deliveries.defer(delivery, seconds=seconds)
            if not put_off:
                return claimed.wait
        return None

    def _turn(self, at: str) -> float:
        """Seconds until one more message has its turn at a receiver that lets us wait."""
        now = time.monotonic()
        turn = min(max(self._slow[at], now + PUT_OFF_SECONDS), now + MOST_PUT_OFF_SECONDS)
        self._slow[at] = turn + self._seconds / AT_SLOW
        return turn - now

    async def _attempt(self, attempt: Attempt, at: str) -> None:
        began = time.monotonic()
        try:
            await self._settled(attempt)
        except (RedisError, OSError) as error:
            _log.warning("webhook %s is tried again: %s", attempt.delivery.delivery_id, error)
        except Exception:  # noqa: BLE001 - the edge of a task that nobody waits for
            _log.exception("webhook %s failed inside", attempt.delivery.delivery_id)
        finally:
            self._busy[at] -= 1
            if not self._busy[at]:
                del self._busy[at]
            if time.monotonic() - began < self._seconds / 4:
                self._slow.pop(at, None)
            else:
                if len(self._slow) >= _MOST_SLOW:
                    self._slow.clear()
                self._slow.setdefault(at, 0.0)

    async def _settled(self, attempt: Attempt) -> None:
        delivery, response, error = attempt.delivery, None, ""
        state = State.PENDING
        try:
            response = await self._post(attempt)
        except (_NeverError, AddressError) as never:
            state, error = State.DEAD, str(never)
        except TimeoutError:
            error = f"no answer in {self._seconds:g} seconds"
        except aiohttp.ClientError as failed:
            error = f"cannot be reached: {failed}"[:300]
        except (RedisError, OSError):
            raise
        except Exception:  # noqa: BLE001 - what a graph raises that is to say its state
            _log.exception("webhook %s failed inside", delivery.delivery_id)
            error = "failed inside the server, whose log says more"
        else:
            if 200 <= response < 300:
                state = State.DELIVERED
            else:
                state = State.DEAD if response == _GONE else State.PENDING
                error = f"answered {response}"
        if state is State.PENDING:
            age = (moment(await self._deliveries.clock()) - delivery.owed_at).total_seconds()
            if message.is_over(delivery.attempts, age_seconds=age):
                state = State.DEAD
        if error:
            _log.warning(
                "webhook %s of run %s, attempt %d: %s%s",
                delivery.delivery_id,
                delivery.run_id,
                delivery.attempts,
                error,
                "; given up" if state is State.DEAD else "",
            )
        await self._deliveries.settle(
            delivery,
            state,
            again_in=message.pause(delivery.attempts, roll=self._roll()),
            error=error,
            response=response,
        )

    async def _post(self, attempt: Attempt) -> int:
        """The HTTP status of one attempt.

        Raises _NeverError, AddressError, TimeoutError, ClientError.
        """
        delivery, record = attempt.delivery, attempt.record
        session, url = self._way(delivery.url)
        assert session is not None
        values = await self._values(record)
        now = await self._deliveries.clock()
        told = message.body(record, values=values, sent_at=moment(now))
        sent = orjson.dumps(told)
        headers = signing.headers(
            message_id=delivery.delivery_id,
            timestamp=now // 1_000_000,
            body=sent,
            secret=await self._secrets.of(delivery.tenant),
        )
        async with session.post(
            URL(url, encoded=True),
            data=sent,
            headers={**headers, "Content-Type": "application/json", "User-Agent": "Counterpoint"},
            allow_redirects=False,
        ) as answer:
            return answer.status

    def _way(self, webhook: str) -> tuple[aiohttp.ClientSession | None, str]:
        """Who calls what. Raises _NeverError, AddressError."""
        if not webhook.startswith("/"):
            return self._judged, addresses.check(webhook, self._opened).url
        if self._base is None:
            raise _NeverError(
                "it is a path, and this server does not know its address: set webhook_base"
            )
        return self._trusted, addresses.parse(self._base.rstrip("/") + webhook).url

    def _session(self, resolver: AbstractResolver | None) -> aiohttp.ClientSession:
        trusted = ssl.create_default_context()
        trusted.load_verify_locations(certifi.where())
        connector = aiohttp.TCPConnector(
            resolver=resolver, use_dns_cache=False, force_close=True, ssl=trusted
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._seconds),
            trust_env=False,
        )


def _receiver(webhook: str) -> str:
    """Whom a URL leads to; a path is our own."""
    try:
        url = URL(webhook, encoded=True)
        return f"{url.raw_host}:{url.port}"
    except ValueError:
        return ""


@asynccontextmanager
async def sending(sender: Sender) -> AsyncIterator[None]:
    """Send in the background, until the context is left."""
    async with sender:
        task = asyncio.create_task(sender.run(), name="webhook sender")
        try:
            yield
        finally:
            await patience.over(task)
            with contextlib.suppress(asyncio.CancelledError):
                await task
