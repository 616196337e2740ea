"""Slack's Web API, with what can go wrong told apart.

SlackError
├── RateLimited     told to wait ``seconds``; surely not done
├── Refused         Slack said no, with its ``code``; not done
└── Unreachable     no answer, or none that can be read: may or may not have been done
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from server.slack_section import SlackSettings

CALL_SECONDS = 15
"""How long one call may take."""
MEMBER_SECONDS = 600.0
"""How long what Slack said of a member is believed."""
_MOST_MEMBERS = 10_000
_RETRY_SECONDS = 5.0
# Slack's own troubles, behind which nobody knows what was done.
_THEIRS = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})

_log = logging.getLogger(__name__)


class SlackError(Exception):
    """A call of Slack's Web API that gave no good answer."""


class RateLimited(SlackError):  # noqa: N818 - said as it is
    """Too many calls; it was not done, and may be in ``seconds``."""

    def __init__(self, method: str, seconds: float) -> None:
        super().__init__(f"{method}: too many calls, again in {seconds:g} s")
        self.seconds = seconds


class Refused(SlackError):  # noqa: N818 - said as it is
    """Slack did not do it; ``code`` is its word for why."""

    def __init__(self, method: str, code: str) -> None:
        super().__init__(f"{method}: {code}")
        self.code = code


class Unreachable(SlackError):  # noqa: N818 - said as it is
    """Nobody knows whether it was done."""


@dataclass(frozen=True, kw_only=True)
class Me:
    """Which app this is: its workspace, its user and its bot."""

    team: str
    user: str
    bot: str


@dataclass(frozen=True, kw_only=True)
class Member:
    """Somebody in Slack. ``full``: a member with all rights, neither guest, bot nor gone."""

    user: str
    team: str
    email: str = ""
    full: bool = False


class Web:
    """The calls; ``client`` is the SDK's own, for what needs it whole."""

    def __init__(self, client: AsyncWebClient) -> None:
        self.client = client
        self._me: Me | None = None
        self._members: dict[tuple[str, str], tuple[float, Member]] = {}

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        """One call with a JSON body; what is None is left out. Raises a SlackError."""
        told = {name: value for name, value in given.items() if value is not None}
        try:
            reply = await self.client.api_call(method, json=told)
        except SlackApiError as error:
            raise _told_apart(method, error) from None
        except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{method}: {type(error).__name__}: {error}"[:300]) from None
        return cast("dict[str, Any]", reply.data) if isinstance(reply.data, dict) else {}

    async def get(self, method: str, **given: Any) -> dict[str, Any]:
        """One call of those that read, which take no JSON. Raises a SlackError."""
        told = {name: value for name, value in given.items() if value is not None}
        try:
            reply = await self.client.api_call(method, params=told)
        except SlackApiError as error:
            raise _told_apart(method, error) from None
        except (SlackClientError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise Unreachable(f"{method}: {type(error).__name__}: {error}"[:300]) from None
        return cast("dict[str, Any]", reply.data) if isinstance(reply.data, dict) else {}

    async def me(self) -> Me:
        """Which app this is, asked once. Raises a SlackError."""
        if self._me is None:
            told = await self.call("auth.test")
            self._me = Me(
                team=told.get("team_id") or "",
                user=told.get("user_id") or "",
                bot=told.get("bot_id") or "",
            )
        return self._me

    @property
    def known(self) -> Me | None:
        """Which app this is, where that was asked already."""
        return self._me

    async def member(self, user: str, *, team: str) -> Member:
        """What Slack says of a member. Raises a SlackError."""
        now = time.monotonic()
        told, found = self._members.get((team, user), (0.0, None))
        if found is not None and now - told < MEMBER_SECONDS:
            return found
        said = (await self.get("users.info", user=user)).get("user") or {}
        found = _member(said, user=user, team=team)
        if len(self._members) >= _MOST_MEMBERS:
            self._members.clear()
        self._members[team, user] = (now, found)
        return found


def _member(said: Mapping[str, Any], *, user: str, team: str) -> Member:
    profile = said.get("profile") or {}
    confirmed = said.get("is_email_confirmed", True)
    lesser = ("is_restricted", "is_ultra_restricted", "is_bot", "deleted", "is_stranger")
    return Member(
        user=user,
        # What Slack says of the member counts more than what an event says of it.
        team=str(said.get("team_id") or team),
        email=str(profile.get("email") or "") if confirmed else "",
        full=bool(said) and not any(said.get(name) for name in lesser),
    )


def _told_apart(method: str, error: SlackApiError) -> SlackError:
    response = error.response
    status = getattr(response, "status_code", 0)
    data = response.data if hasattr(response, "data") else response
    code = data.get("error", "") if isinstance(data, Mapping) else ""
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        headers = {name.lower(): value for name, value in (response.headers or {}).items()}
        told = headers.get("retry-after", "")
        told = told[0] if isinstance(told, list) else told
        seconds = float(told) if str(told).isdecimal() else _RETRY_SECONDS
        return RateLimited(method, max(seconds, 1.0))
    if status >= 500 or code in _THEIRS or not code:
        return Unreachable(f"{method}: answered {status} {code}".strip())
    return Refused(method, code)


@asynccontextmanager
async def opened(settings: SlackSettings) -> AsyncIterator[Web]:
    """The calls, with the bot's token, over one session."""
    assert settings.slack_bot_token is not None
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session:
        yield Web(
            AsyncWebClient(
                token=settings.slack_bot_token.get_secret_value(),
                base_url=settings.slack_api_url,
                timeout=CALL_SECONDS,
                session=session,
                # What is tried again, and when, is ours to say: it has to outlive this process.
                retry_handlers=[],
                logger=quiet(),
            )
        )


def quiet() -> logging.Logger:
    """The SDK's log without its requests, whose bodies and headers nobody should read."""
    logger = logging.getLogger(f"{__name__}.sdk")
    logger.setLevel(logging.WARNING)
    return logger


async def patient_me(web: Web) -> Me:
    """Which app this is, asked until Slack says it."""
    while True:
        try:
            return await web.me()
        except SlackError as error:
            _log.warning("Slack does not say which app this is: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
