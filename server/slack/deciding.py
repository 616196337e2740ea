"""Approvals decided in Slack: clicks and dialogs, as whoever Slack has signed them for.

A button says which approval and of which arguments; who clicked, with which roles, in which tenant,
comes from the signed user id alone, and the queue's own rules decide the rest. Whoever may not, or
comes too late, is told why, and nobody else is.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError
from slack_bolt.async_app import AsyncApp

from guardrails.policy import Choice
from server.approvals.record import (
    Approval,
    ApprovalError,
    ApprovalNotFoundError,
    ApprovalStatus,
    InvalidDecisionError,
    StaleArgumentsError,
)
from server.approvals.shown import Viewer
from server.auth import Caller
from server.clock import moment
from server.runs.record import NotDurableError, RunNotFoundError
from server.sections import CallerRole
from server.slack import cards, filling, forms, home, modals, refusing, text
from server.slack.acting import VIA, told_privately
from server.slack.cards import Reference
from server.slack.context import SlackContext
from server.slack.homes import Homes
from server.slack.identities import member_of
from server.slack.modals import Opened
from server.slack.web import SlackError
from server.wire.messages import storable

Look = Callable[[Approval], Awaitable[None]]
"""Has the card of an approval looked at now."""

_DIALOGS = {
    cards.EDIT: (Choice.EDIT, modals.edit),
    cards.REJECT: (Choice.REJECT, modals.reject),
    cards.RESPOND: (Choice.RESPOND, modals.respond),
}
_SUBMITTED = {
    modals.EDITED: Choice.EDIT,
    modals.REJECTED: Choice.REJECT,
    modals.RESPONDED: Choice.RESPOND,
}
_LATER = "That could not be done now; please try again in a moment."

_log = logging.getLogger(__name__)


class _Told(Exception):  # noqa: N818 - what somebody is told in place of what was wanted
    """Why it is not done, for whoever wanted it."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Deciding:
    """What the buttons and dialogs of approvals and of the home tab do."""

    def __init__(self, context: SlackContext, *, homes: Homes, look: Look) -> None:
        self._context = context
        self._homes = homes
        self._look = look

    async def clicked(self, body: Mapping[str, Any]) -> None:
        """A button of a card, in a message or on the home tab."""
        action = (body.get("actions") or [{}])[0]
        try:
            caller = await self._caller(body)
            reference = Reference.read(str(action.get("value") or ""))
            if reference is None:
                raise _Told("This button says nothing that is known here.")
            one = await self._approval(reference, caller)
            await self._act(str(action.get("action_id")), one, reference, caller, body)
        except _Told as told:
            await self._tell(body, told.words)
        except (SlackError, RedisError, OSError) as error:
            _log.warning("a click on an approval was not followed: %s", error)
            await self._tell(body, _LATER)

    async def _act(
        self,
        action: str,
        one: Approval,
        reference: Reference,
        caller: Caller,
        body: Mapping[str, Any],
    ) -> None:
        if action == cards.APPROVE:
            if one.status is not ApprovalStatus.PENDING:
                # Nothing would change, and who clicks on an old card should hear it.
                await self._look(one)
                raise _Told(refusing.over(one))
            await self._decide(one, reference, caller, Choice.APPROVE)
            await self._after(one, body)
            return
        if action == cards.SHOW:
            if not await self._may_look(one, caller):
                raise _Told(refusing.not_yours(one, caller))
            await self._open(body, modals.whole(one))
            return
        choice, dialog = _DIALOGS[action]
        if one.status is not ApprovalStatus.PENDING:
            await self._look(one)
            raise _Told(refusing.over(one))
        viewer = await self._viewer(caller)
        if choice.value not in viewer.open_choices(one):
            raise _Told(refusing.closed(one, choice, caller, now=viewer.now))
        if one.args_sha256 != reference.args_sha256:
            await self._look(one)
            raise _Told(refusing.STALE)
        await self._open(body, dialog(one, _opened(reference, body)))

    async def submitted(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """A dialog that was sent; what to answer Slack: closed, errors at fields, or a notice."""
        view = body.get("view") or {}
        opened = Opened.read(str(view.get("private_metadata") or ""))
        choice = _SUBMITTED[str(view.get("callback_id"))]
        try:
            caller = await self._caller(body)
            if opened is None:
                raise _Told("This dialog says nothing that is known here.")
            one = await self._approval(opened.reference, caller)
            if choice is Choice.EDIT:
                return await self._edited(one, opened, caller, body)
            words = modals.message_of(view).strip()
            if not words:
                return {"response_action": "errors", "errors": {modals.MESSAGE: "Write something."}}
            await self._decide(one, opened.reference, caller, choice, message=storable(words))
        except _Told as told:
            return _notice(told.words)
        except (SlackError, RedisError, OSError) as error:
            _log.warning("a dialog of an approval was not followed: %s", error)
            return _notice(_LATER)
        await self._after(one, body)
        return {}

    async def _edited(
        self, one: Approval, opened: Opened, caller: Caller, body: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        if one.status is not ApprovalStatus.PENDING:
            raise _Told(refusing.over(one))
        if one.args_sha256 != opened.reference.args_sha256:
            raise _Told(refusing.STALE)
        values = (body["view"].get("state") or {}).get("values") or {}
        shown = forms.fields(one.schema, one.final_args)
        typed = filling.filled(shown, values, args=one.final_args)
        if typed.errors:
            return {"response_action": "errors", "errors": dict(typed.errors)}
        try:
            await self._decided(one, opened.reference, caller, Choice.EDIT, args=typed.args)
        except InvalidDecisionError as error:
            at = filling.place_of(shown, error.field or "args")
            if at is None or not (error.field or "").startswith("args"):
                raise _Told(str(error)) from None
            return {"response_action": "errors", "errors": {at: refusing.at_field(error)}}
        except ApprovalError as error:
            raise _Told(refusing.why(error, one, caller)) from None
        await self._after(one, body)
        return {}

    async def stopped(self, body: Mapping[str, Any]) -> None:
        """The stop button of a run on the home tab."""
        run_id = str((body.get("actions") or [{}])[0].get("value") or "")
        try:
            caller = await self._caller(body)
            record = await self._context.runs.get(run_id, tenant=caller.tenant)
            if record.asked.user != caller.name and not caller.may(CallerRole.OPERATOR):
                raise _Told("Only who asked, or an operator, can stop this.")
            await self._context.runs.cancel(run_id, tenant=caller.tenant)
            await self._home(body)
        except RunNotFoundError:
            await self._tell(body, "There is no such run any more.")
        except _Told as told:
            await self._tell(body, told.words)
        except (SlackError, NotDurableError, RedisError, OSError) as error:
            _log.warning("a run is not stopped: %s", error)
            await self._tell(body, _LATER)

    async def home_opened(self, body: Mapping[str, Any]) -> None:
        """The home tab was opened, or is to be made anew."""
        who = member_of(body)
        if who is None or (body.get("event") or {}).get("tab") == "messages":
            return
        try:
            await self._homes.opened(*who)
        except (SlackError, RedisError, OSError) as error:
            _log.warning("a home tab is not shown: %s", error)

    async def _caller(self, body: Mapping[str, Any]) -> Caller:
        caller = await self._context.identities.of_body(body)
        if caller is None:
            raise _Told("I do not know you; ask whoever runs this server to let you in.")
        return caller

    async def _approval(self, reference: Reference, caller: Caller) -> Approval:
        try:
            return await self._context.approvals.get(reference.approval_id, tenant=caller.tenant)
        except ApprovalNotFoundError:
            raise _Told("There is no such approval here (any more).") from None

    async def _decide(
        self,
        one: Approval,
        reference: Reference,
        caller: Caller,
        choice: Choice,
        *,
        message: str | None = None,
    ) -> None:
        """Raises _Told."""
        try:
            await self._decided(one, reference, caller, choice, message=message)
        except ApprovalError as error:
            if isinstance(error, StaleArgumentsError):
                await self._look(one)
            raise _Told(refusing.why(error, one, caller)) from None

    async def _decided(
        self, one: Approval, reference: Reference, caller: Caller, choice: Choice, **said: Any
    ) -> None:
        """Raises an ApprovalError."""
        await self._context.approvals.decide(
            one.approval_id,
            tenant=caller.tenant,
            caller=caller,
            choice=choice,
            args_sha256=reference.args_sha256,
            via=VIA,
            **said,
        )

    async def _may_look(self, one: Approval, caller: Caller) -> bool:
        return (
            caller.may(CallerRole.OPERATOR)
            or one.requested_by == caller.name
            or bool(one.terms.roles & {role.value for role in caller.roles})
        )

    async def _viewer(self, caller: Caller) -> Viewer:
        now = moment(await self._context.approvals.store.clock())
        roles = frozenset(role.value for role in caller.roles)
        return Viewer(name=caller.name, roles=roles, now=now)

    async def _after(self, one: Approval, body: Mapping[str, Any]) -> None:
        """It is decided, whatever becomes of showing it."""
        with suppress(SlackError, RedisError, OSError):
            await self._look(one)
            await self._home(body)

    async def _home(self, body: Mapping[str, Any]) -> None:
        """The tab of who did it, where it was done there."""
        who = member_of(body)
        if who is not None and (body.get("view") or {}).get("type") == "home":
            await self._homes.publish(*who)

    async def _open(self, body: Mapping[str, Any], view: Mapping[str, Any]) -> None:
        trigger = str(body.get("trigger_id") or "")
        await self._context.web.call("views.open", trigger_id=trigger, view=view)

    async def _tell(self, body: Mapping[str, Any], words: str) -> None:
        """Where it was clicked, to nobody else: under the message, or over the home tab."""
        if body.get("message") or (body.get("container") or {}).get("channel_id"):
            await told_privately(self._context, body, text.escaped(words))
            return
        with suppress(SlackError):
            await self._open(body, modals.notice("Not done", words))


def register(app: AsyncApp, deciding: Deciding) -> None:
    """Listen to the buttons and dialogs of approvals, and to the home tab."""

    async def clicked(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        await deciding.clicked(body)

    async def submitted(ack: Any, body: dict[str, Any]) -> None:
        # Slack waits for it: what is wrong stands at its field.
        await ack(**await deciding.submitted(body))

    async def stopped(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        await deciding.stopped(body)

    async def opened(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        await deciding.home_opened(body)

    for action in cards.ACTIONS:
        app.action(action)(clicked)
    for callback in modals.SUBMITTED:
        app.view(callback)(submitted)
    app.action(home.RUN_STOP)(stopped)
    app.action(home.REFRESH)(opened)
    app.event("app_home_opened")(opened)


def _opened(reference: Reference, body: Mapping[str, Any]) -> Opened:
    container = body.get("container") or {}
    return Opened(
        reference=reference,
        channel=str(container.get("channel_id") or ""),
        ts=str(container.get("message_ts") or ""),
    )


def _notice(words: str) -> Mapping[str, Any]:
    return {"response_action": "update", "view": modals.notice("Not done", words)}
