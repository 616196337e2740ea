"""How an attempt at a run begins: with what input, where, or that there is nothing left to do.

An attempt may be the second one: what the first had finished is never done again, and an answer to
an interrupt is never given to another one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Send, StateSnapshot

from server.runs.asked import Asked
from server.runs.record import RunRecord

_ID = re.compile(r"[0-9a-f]{32}")
# What we say ourselves, or LangGraph keeps for itself.
_RESERVED = frozenset({"thread_id", "checkpoint_id", "checkpoint_ns", "checkpoint_map", "run_id"})


STEERED = "steered"
"""Key of a step's metadata: what led to it was not the run's own work, but written by a caller."""


class BadCommandError(ValueError):
    """A command that no graph can follow; the message names its field."""


@dataclass(frozen=True, kw_only=True)
class Begin:
    """Give the graph this; ``forks`` from the checkpoint that was asked for."""

    given: Any
    forks: bool = False


class Finished:
    """The last attempt came to the graph's end."""


class Paused:
    """The last attempt came to a pause, which nobody has answered yet."""


class Overtaken:
    """The pause that was decided upon is gone: another run went on with the thread."""


class Gone:
    """The checkpoint that the run was to go on from is not kept any more."""


Start = Begin | Finished | Paused | Overtaken | Gone


def needs_look(record: RunRecord) -> bool:
    """Whether the thread's state decides how to begin; a fresh run's input alone does not."""
    asked = record.asked
    return (
        record.token > 1 or bool(record.resumes) or asked.command is not None or asked.input is None
    )


def decide(
    record: RunRecord,
    head: StateSnapshot,
    *,
    answering: Sequence[str] | None,
    stops: bool = False,
) -> Start:
    """How to begin on a thread whose latest state is ``head``.

    ``answering`` are the interrupts that an earlier attempt had an answer for, None where there
    was no such attempt. ``stops`` says that the graph stops here by a breakpoint.
    """
    asked = record.asked
    ours = (head.metadata or {}).get("run_id") == record.run_id
    pending = [one.id for one in head.interrupts]
    answer = _answer(record)
    if answer is not None:
        if answering is None:
            # A decision meets the pause that it is for; an own checkpoint behind that is progress.
            if record.resumes and _overtaken(record, pending):
                return Overtaken()
            if not ours or record.resumes:
                return Begin(given=_command(record, answer, pending), forks=forks(asked))
        elif left := [one for one in pending if one in answering]:
            return Begin(given=_command(record, answer, left), forks=forks(asked))
        elif not pending and not ours:
            return Begin(given=_command(record, answer, pending), forks=forks(asked))
    elif not ours:
        return Begin(given=first_input(asked), forks=forks(asked))
    # Not `next`, which leaves out tasks whose writes are stored and not yet applied.
    if not head.tasks:
        return Finished()
    unfinished = [task for task in head.tasks if not task.interrupts and task.result is None]
    if (pending and not unfinished) or (stops and not pending):
        return Paused()
    return Begin(given=None)


def first_input(asked: Asked) -> Any:
    """What a fresh run gives its graph; a command wins over an input."""
    return asked.input if asked.command is None else command_of(asked.command)


def command_of(told: Mapping[str, Any]) -> Command[Any]:
    """A command as LangGraph's wire has it. Raises BadCommandError."""
    update = told.get("update")
    if isinstance(update, list):
        if not all(isinstance(one, list | tuple) and len(one) == 2 for one in update):
            raise BadCommandError("command.update: give an object, or a list of [key, value]")
        update = [tuple(one) for one in update]
    goto = told.get("goto") or ()
    many = goto if isinstance(goto, list | tuple) else [goto]
    return Command(update=update, resume=told.get("resume"), goto=[_goto(one) for one in many])


def config_of(record: RunRecord, *, forks: bool, steered: bool = False) -> RunnableConfig:
    """The configuration that nodes see; nothing in it can be forged by a caller."""
    asked = record.asked
    configurable = {
        name: value
        for name, value in asked.configurable.items()
        if name not in _RESERVED and not name.startswith("__")
    }
    configurable |= {
        "thread_id": record.thread_id,
        "run_id": record.run_id,
        "graph_id": asked.graph,
        "assistant_id": asked.assistant_id,
    }
    if forks:
        configurable |= _fork(asked)
    config: RunnableConfig = {
        "configurable": configurable,
        "metadata": {
            **asked.metadata,
            "run_id": record.run_id,
            "thread_id": record.thread_id,
            "graph_id": asked.graph,
            "assistant_id": asked.assistant_id,
            **({STEERED: True} if steered else {}),
        },
    }
    if asked.user:
        config["configurable"]["user_id"] = asked.user
    if isinstance(limit := asked.config.get("recursion_limit"), int):
        config["recursion_limit"] = limit
    if isinstance(tags := asked.config.get("tags"), list):
        config["tags"] = [str(tag) for tag in tags]
    return config


def _goto(told: Any) -> str | Send:
    match told:
        case str():
            return told
        case {"node": str(node)}:
            return Send(node, told.get("input"))
    raise BadCommandError('command.goto: give a node\'s name, or {"node": NAME, "input": ...}')


def _answer(record: RunRecord) -> Any:
    return record.resume if record.resumes else (record.asked.command or {}).get("resume")


def _overtaken(record: RunRecord, pending: Sequence[str]) -> bool:
    told = (record.result or {}).get("interrupts") or ()
    questions = {one["id"] for one in told}
    return bool(questions) and not questions & set(pending)


def _command(record: RunRecord, answer: Any, pending: Sequence[str]) -> Command[Any]:
    """One pending interrupt is answered by its id: a bare answer would be kept for the next one.

    Of answers by id only those that still wait are given: an earlier attempt may have come so far.
    """
    told = dict(record.asked.command or {}) if not record.resumes else {}
    named = answer if isinstance(answer, Mapping) else {}
    if left := {one: named[one] for one in pending if one in named}:
        answer = left
    elif len(pending) == 1 and not _is_by_id(answer) and not forks(record.asked):
        answer = {pending[0]: answer}
    return command_of({**told, "resume": answer})


def answered(given: Command[Any], pending: Sequence[str]) -> list[str]:
    """Those of the pending interrupts that a command has an answer for."""
    if _is_by_id(given.resume):
        return [one for one in pending if one in given.resume]
    return list(pending)


def _is_by_id(answer: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether LangGraph takes an answer for several, by their interrupts' ids."""
    return isinstance(answer, Mapping) and bool(answer) and all(map(_ID.fullmatch, answer))


def steers(asked: Asked) -> bool:
    """Whether its command says where the graph goes on, or with what beside messages."""
    told = asked.command or {}
    update = told.get("update") or {}
    try:
        names = set(update if isinstance(update, Mapping) else dict(update))
    except (TypeError, ValueError):
        return True
    return bool(told.get("goto")) or bool(names - {"messages"})


def is_steered(found: StateSnapshot) -> bool:
    """Whether a caller has written this state, or one that the run came from."""
    about: Mapping[str, Any] = found.metadata or {}
    return about.get("source") == "update" or bool(about.get(STEERED))


def forks(asked: Asked) -> bool:
    """Whether the run was to go on from an earlier checkpoint."""
    return bool(_fork(asked))


def goes_on_from(asked: Asked) -> str | None:
    """The checkpoint of the thread itself that a run is to go on from, if it is one of these."""
    place = _fork(asked)
    return None if not place or place["checkpoint_ns"] else str(place["checkpoint_id"])


def place_of(record: RunRecord) -> RunnableConfig:
    """The state that a run goes on from, where it begins nothing anew."""
    return {"configurable": {"thread_id": record.thread_id, **_fork(record.asked)}}


def _fork(asked: Asked) -> dict[str, Any]:
    """Where a run was asked to go on from, in either place that clients use for it."""
    told = asked.checkpoint or asked.configurable
    found = {
        name: told[name]
        for name in ("checkpoint_id", "checkpoint_ns", "checkpoint_map")
        if told.get(name)
    }
    if not found.get("checkpoint_id"):
        return {}
    return {"checkpoint_ns": "", **found}
