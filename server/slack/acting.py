"""What people do with an answer in Slack: stop it, or say whether it is good.

Who it is comes from what Slack has signed; which run, from the button, and is looked up as theirs.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

from redis.exceptions import RedisError
from slack_bolt.async_app import AsyncApp

from server.auth import Caller
from server.runs.feedback import Feedbacks
from server.runs.record import NotDurableError, RunNotFoundError, RunRecord
from server.sections import CallerRole
from server.slack import answers
from server.slack.context import SlackContext
from server.slack.web import SlackError

VIA = "slack"
_SCORES = {answers.UP: 1, answers.DOWN: -1}

_log = logging.getLogger(__name__)


def register(app: AsyncApp, context: SlackContext, *, feedback: Feedbacks) -> None:
    """Listen to the buttons of answers."""

    @app.action(answers.STOP)
    async def stop(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        await told_privately(context, body, await _stopped(context, body))

    @app.action(answers.FEEDBACK)
    async def judge(ack: Any, body: dict[str, Any]) -> None:
        await ack()
        await told_privately(context, body, await _judged(context, body, feedback))


async def _stopped(context: SlackContext, body: Mapping[str, Any]) -> str:
    value = _value(body)
    try:
        caller = await context.identities.of_body(body)
        record = await _run(context, value, caller)
        if caller is None or record is None:
            return _unknown(caller)
        if record.asked.user != caller.name and not caller.may(CallerRole.OPERATOR):
            return "Only who asked, or an operator, can stop this."
        if record.status.is_terminal:
            return "This is over already."
        await context.runs.cancel(record.run_id, tenant=caller.tenant)
    except RunNotFoundError:
        return "This is over already."
    except (SlackError, NotDurableError, RedisError, OSError) as error:
        _log.warning("run %r is not stopped: %s", value[:64], error)
        return "This could not be stopped now; please try again in a moment."
    return "Stopping …"


async def _judged(context: SlackContext, body: Mapping[str, Any], feedback: Feedbacks) -> str:
    word, _, run_id = _value(body).partition(":")
    try:
        caller = await context.identities.of_body(body)
        record = await _run(context, run_id, caller)
        if caller is None or record is None:
            return _unknown(caller)
        score = _SCORES.get(word)
        if score is None:
            return "This button says nothing that is known here."
        await feedback.give(record.run_id, by=caller.name, score=score, via=VIA)
    except (SlackError, RedisError, OSError) as error:
        _log.warning("feedback on run %r is not kept: %s", run_id[:64], error)
        return "This could not be kept now; please try again in a moment."
    return "Thank you, this is kept with the answer."


async def told_privately(context: SlackContext, body: Mapping[str, Any], words: str) -> None:
    """Tell whoever clicked, where they clicked, and nobody else."""
    message, container = body.get("message") or {}, body.get("container") or {}
    channel = (body.get("channel") or {}).get("id") or container.get("channel_id")
    user = (body.get("user") or {}).get("id")
    if not channel or not user:
        return
    with suppress(SlackError):
        await context.web.call(
            "chat.postEphemeral",
            channel=channel,
            user=user,
            thread_ts=message.get("thread_ts") or container.get("thread_ts"),
            text=words,
        )


async def _run(context: SlackContext, run_id: str, caller: Caller | None) -> RunRecord | None:
    """The run, if it is one of the caller's tenant."""
    if caller is None:
        return None
    try:
        return await context.runs.get(str(UUID(run_id)), tenant=caller.tenant)
    except (ValueError, RunNotFoundError):
        return None


def _unknown(caller: Caller | None) -> str:
    if caller is None:
        return "I do not know you; ask whoever runs this server to let you in."
    return "There is no such answer any more."


def _value(body: Mapping[str, Any]) -> str:
    actions = body.get("actions") or [{}]
    return str(actions[0].get("value") or "")
