"""What a run of the team tells, without what is redacted: its events, pieces, chunks and its end.

What a person wrote and the answer to it stay as they are, as does what a person is to decide upon:
these are theirs, and the thread's state has them too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from graphs import events
from graphs.context import Emit
from guardrails.redaction import PERSONAL, Kind, Redactor

Ended = TypeVar("Ended", bound=events.Outcome)
Model = TypeVar("Model", bound=BaseModel)

_NO_TEXT = frozenset({int, float, bool, type(None)})
_TEXT = frozenset({str})
_MOST_CLEAN = 5_000
_CONVERSATION, _INTERRUPTS = "messages", "__interrupt__"
_KEPT = frozenset({_CONVERSATION, _INTERRUPTS})
# Whole messages of the thread; pieces of one and tools' are none.
_SAID = frozenset({"human", "ai", "system"})

# What may go on behind a text's end: its last word, and before it what makes a secret of one.
_BEGUN = re.compile(
    r"(?:"
    r"[\w-]*(?:pass|pwd|secret|token|key)[\w-]*[\"']?\s{0,3}[=:]?\s{0,3}[\"']?\S*"
    r"|(?:authorization[\"']?\s{0,3}[=:]?\s{0,3}[\"']?)?(?:bearer|basic)\s{0,3}\S*"
    r"|authorization[\"']?\s{0,3}[=:]?\s{0,3}[\"']?\S*"
    r"|aws[^\n]{0,60}\S*"
    r"|\S+"
    r")$",
    re.IGNORECASE | re.ASCII,
)
_SIGNS = ("pass", "pwd", "secret", "token", "key", "bearer", "basic", "authorization", "aws", "://")
# Numbers of people and accounts are written in groups.
_GROUPS = re.compile(r"(?<!\S)(?:(?:\S{0,30}\d\S{0,30}|[A-Z]{4}) ){1,12}\S*$", re.ASCII)
_KEY_BEGINS, _KEY_ENDS = "-----BEGIN", re.compile(r"-----END [^-\n]{1,60}-----")


class Telling:
    """Takes a run's events and tells them on, redacted. A piece of a text may wait for the next
    ones until it is surely no part of a secret; ``flush`` tells what is left."""

    def __init__(self, emit: Emit, *, kinds: frozenset[Kind]) -> None:
        self._emit = emit
        self._redactor = Redactor(kinds=kinds)
        self._off = not kinds
        self._grouped = bool(kinds & PERSONAL)
        self._pieces: dict[tuple[str, str], _Pieces] = {}
        self._clean: set[str] = set()

    def __call__(self, event: events.RunEvent, /) -> None:
        if self._off:
            self._emit(event)
        elif isinstance(event, events.ModelDelta):
            self._piece(event)
        elif isinstance(event, events.GraphChunk):
            self._chunk(event)
        else:
            self._event(event)

    def flush(self) -> None:
        """Nobody writes any more."""
        for one in self._pieces.values():
            self._rest(one)
        self._pieces.clear()

    def ending(self, outcome: Ended) -> Ended:
        """How the run ended or paused: the answer as it is, what stands behind it redacted."""
        if self._off:
            return outcome
        told: dict[str, Any] = {"values": self._values(outcome.values)}
        if isinstance(outcome, events.RunFinished):
            told["sources"] = [self._model(one) for one in outcome.sources]
            told["citations"] = [self._model(one) for one in outcome.citations]
            told["cells"] = [self._model(one) for one in outcome.cells]
        return cast("Ended", outcome.model_copy(update=told))

    def _event(self, event: events.RunEvent) -> None:
        if isinstance(event, events.ModelCalled | events.AgentFinished):
            # What its model wrote is whole now.
            pieces = self._pieces.pop((event.agent, event.task_id), None)
            if pieces is not None:
                self._rest(pieces)
        if self._leaves(event):
            self._emit(event)
            return
        stored = event.model_dump(mode="json")
        told = self._redactor.redact_all(stored)
        self._emit(event if told == stored else events.EVENT.validate_python(told))

    def _piece(self, event: events.ModelDelta) -> None:
        place = (event.agent, event.task_id)
        pieces = self._pieces.get(place)
        if pieces is None or pieces.last.message_id != event.message_id:
            if pieces is not None:
                self._rest(pieces)
            pieces = self._pieces[place] = _Pieces(last=event)
        pieces.last = event
        pieces.text += event.text
        pieces.reasoning += event.reasoning
        text, pieces.text = self._ready(pieces.text)
        reasoning, pieces.reasoning = self._ready(pieces.reasoning)
        self._delta(event, text=text, reasoning=reasoning)

    def _rest(self, pieces: _Pieces) -> None:
        self._delta(pieces.last, text=pieces.text, reasoning=pieces.reasoning)

    def _delta(self, event: events.ModelDelta, *, text: str, reasoning: str) -> None:
        if not text and not reasoning:
            return
        if not self._redactor.leaves((text, reasoning)):
            text, reasoning = self._redactor.redact(text), self._redactor.redact(reasoning)
        # Models write thousands: nothing looks each through.
        self._emit(
            events.ModelDelta.model_construct(
                agent=event.agent,
                task_id=event.task_id,
                message_id=event.message_id,
                text=text,
                reasoning=reasoning,
            )
        )

    def _ready(self, text: str) -> tuple[str, str]:
        """What can be told, and what waits."""
        at = len(text)
        if _is_plain(text):
            if text and not text[-1].isspace():
                at -= len(text.rsplit(None, 1)[-1])
        elif begun := _BEGUN.search(text):
            at = begun.start()
        if self._grouped and (groups := _GROUPS.search(text)):
            at = min(at, groups.start())
        key = text.find(_KEY_BEGINS, 0, at)
        while key >= 0:
            ends = _KEY_ENDS.search(text, key, at)
            if ends is None:
                at = key
                break
            key = text.find(_KEY_BEGINS, ends.end(), at)
        return text[:at], text[at:]

    def _chunk(self, event: events.GraphChunk) -> None:
        if self._has_none(event.data):
            self._emit(event)
            return
        data, redact = event.data, self._redacted
        match event.mode:
            case "values":
                data = self._values(data)
            case "updates" if isinstance(data, Mapping):
                data = {
                    node: told if node == _INTERRUPTS else self._values(told)
                    for node, told in data.items()
                }
            case "messages":
                message, metadata = data
                said = isinstance(message, Mapping) and message.get("type") in _SAID
                data = [message if said else redact(message), redact(metadata)]
            case _:
                data = redact(data)
        self._emit(event.model_copy(update={"data": data}))

    def _values(self, values: Any) -> Any:
        """A state, or a part of one, but for the conversation in it."""
        if not isinstance(values, Mapping):
            return self._redacted(values)
        return {
            name: value if name in _KEPT else self._redacted(value)
            for name, value in values.items()
        }

    def _model(self, value: Model) -> Model:
        if self._leaves(value):
            return value
        return value.model_validate(self._redactor.redact_all(value.model_dump(mode="json")))

    def _redacted(self, value: Any) -> Any:
        return value if self._leaves(value) else self._redactor.redact_all(value)

    def _has_none(self, data: Any) -> bool:
        """As ``_leaves``; a state is told again at each step, with the texts that it had before."""
        texts: list[str] = []
        if not _collected(data, texts):
            return False
        fresh = [text for text in texts if text not in self._clean]
        if not self._redactor.leaves(fresh):
            return False
        if len(self._clean) > _MOST_CLEAN:
            self._clean.clear()
        self._clean.update(fresh)
        return True

    def _leaves(self, value: Any) -> bool:
        texts: list[str] = []
        return _collected(value, texts) and self._redactor.leaves(texts)


def _is_plain(text: str) -> bool:
    """Whether nothing makes a secret of what comes behind it: only its last word may be one."""
    small = text.lower()
    for sign in _SIGNS:  # noqa: SIM110 - a generator would cost more than what it looks through
        if sign in small:
            return False
    return True


@dataclass(kw_only=True)
class _Pieces:
    """What waits of a message, and the last piece of it."""

    last: events.ModelDelta
    text: str = ""
    reasoning: str = ""


def _collected(value: Any, texts: list[str]) -> bool:
    """Adds each text in an event to ``texts``, names of our own fields left out; False where
    something is none yet that may be one when it is stored."""
    kind = type(value)
    if kind is str:
        texts.append(value)
        return True
    if kind in _NO_TEXT:
        return True
    inner: Iterable[Any]
    if kind is dict:
        # A key that is no text becomes one where it is stored.
        if set(map(type, value)) - _TEXT:
            return False
        texts += value
        inner = value.values()
    elif kind is list:
        inner = value
    elif isinstance(value, BaseModel):
        inner = value.__dict__.values()
    else:
        return False
    for one in inner:  # noqa: SIM110 - a generator would cost as much as what it looks through
        if not _collected(one, texts):
            return False
    return True
