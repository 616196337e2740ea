"""Who somebody in Slack is here: identity, tenant and roles, from what Slack has signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from server.auth import Caller
from server.sections import CallerRole
from server.slack.web import Member, Web
from server.slack_section import SlackPersonSettings, SlackSettings


def member_of(body: Mapping[str, Any]) -> tuple[str, str] | None:
    """User and workspace of whoever caused an event or an interaction; None where nobody did."""
    event = body.get("event")
    if isinstance(event, Mapping):
        user = event.get("user")
        team = event.get("user_team") or event.get("source_team") or event.get("team")
        if isinstance(user, str) and user:
            return user, str(team or body.get("team_id") or "")
        return None
    who = body.get("user")
    if isinstance(who, Mapping) and who.get("id"):
        whose = body.get("team")
        own = whose.get("id") if isinstance(whose, Mapping) else ""
        return str(who["id"]), str(who.get("team_id") or own or "")
    return None


def caller_of(
    member: Member, *, people: Sequence[SlackPersonSettings], own_team: str
) -> Caller | None:
    """The first of the table that fits; None where none does.

    What is for everybody of the own workspace or of a domain is for its full members.
    """
    for one in people:
        if (one.team or own_team) != member.team or not member.team:
            continue
        if one.is_for_many and member.team == own_team and not member.full:
            continue
        if one.user is not None and one.user != member.user:
            continue
        if one.email is not None and not _fits(one.email, member.email):
            continue
        name = one.name or f"slack:{member.team}:{member.user}"
        return Caller(name=name, tenant=one.tenant, roles=frozenset(one.roles))
    return None


class Identities:
    """The table of the settings, with what Slack says about its members where that is needed."""

    def __init__(self, settings: SlackSettings, web: Web) -> None:
        self._people = settings.slack_people
        self._default = settings.slack_default_role
        self._tenant = settings.slack_default_tenant
        self._web = web

    async def of(self, *, user: str, team: str) -> Caller | None:
        """Who this is here; None for somebody unknown. Raises a SlackError where Slack has to say
        it and does not."""
        own = (await self._web.me()).team
        member = Member(user=user, team=team or own)
        asks = [
            one
            for one in self._people
            if one.email is not None or (one.is_for_many and one.team == own)
        ]
        if not asks and (found := self._of(member, own)) is not None:
            return found
        if asks or (self._default is not None and member.team == own):
            member = await self._web.member(user, team=member.team)
        found = self._of(member, own)
        if found is None and self._default is not None and member.full and member.team == own:
            found = Caller(
                name=f"slack:{own}:{user}",
                tenant=self._tenant,
                roles=frozenset({CallerRole(self._default)}),
            )
        return found

    async def of_body(self, body: Mapping[str, Any]) -> Caller | None:
        """Whoever caused an event or an interaction; ``body`` is as Slack has signed it."""
        who = member_of(body)
        return None if who is None else await self.of(user=who[0], team=who[1])

    def _of(self, member: Member, own: str) -> Caller | None:
        return caller_of(member, people=self._people, own_team=own)


def _fits(pattern: str, email: str) -> bool:
    pattern, email = pattern.lower(), email.lower()
    if pattern.startswith("*"):
        return email.endswith(pattern[1:])
    return pattern == email
