"""OpenAI's responses: what is asked, and a run rendered as events or as one object. Pure.

The same run gives the same events with the same numbers to every reader: one that comes back goes
on behind the last number that it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from graphs import events
from server.errors import Invalid
from server.runs.asked import Asked
from server.runs.record import RunRecord
from server.runs.transitions import RunStatus
from server.wire import sections
from server.wire.chat import (
    COLLECTION,
    answer_text,
    as_data,
    cited,
    document_path,
    finish_reason,
    pieces,
)
from server.wire.files import path_of
from server.wire.messages import Message, storable
from server.wire.printable import inert
from server.wire.progress_text import parsed, progress_line

KWARGS = "response"
"""Where a run's ``kwargs`` hold what the response shows again."""
PREFIX = "resp_"
_MESSAGE, _REASONING = "msg_", "rs_"
_MOST_METADATA = 16

Event = dict[str, Any]
Json = dict[str, Any]


class ResponseRequest(BaseModel):
    """A response as asked. Sampling parameters and unknown fields are taken and not used."""

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=200, description="one of `GET /v1/models`")
    input: str | list[Any] = Field(
        min_length=1, max_length=1_000_000, description="a text, or messages as items"
    )
    instructions: str | None = Field(default=None, description="put before the input")
    stream: bool | None = False
    background: bool | None = Field(
        default=False, description="answered at once; the run goes on without its reader"
    )
    store: bool | None = Field(
        default=True, description="false: nothing is kept, nor can be gone on from"
    )
    previous_response_id: str | None = Field(
        default=None, max_length=100, description="the response to go on from"
    )
    metadata: dict[str, str] | None = Field(default=None, max_length=_MOST_METADATA)
    max_tool_calls: int | None = Field(default=None, ge=0)
    service_tier: str | None = None
    tools: list[Any] | None = None
    tool_choice: str | dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    conversation: Any = None
    prompt: Any = None
    collection: str | None = Field(
        default=None, pattern=COLLECTION, description="documents to answer from"
    )

    @property
    def stores(self) -> bool:
        return self.store is not False

    def unsupported(self) -> tuple[str, str] | None:
        """The first field that asks for what cannot be done, and what to do instead."""
        if self.tools:
            return "tools", "the client's own tools are not called; leave it out"
        if self.tool_choice not in (None, "auto", "none"):
            return "tool_choice", "the client's own tools are not called; leave it out"
        given = (self.text or {}).get("format")
        if isinstance(given, Mapping) and given.get("type") not in (None, "text"):
            return "text.format", "answers are text; leave it out"
        if self.conversation is not None:
            return "conversation", "go on with previous_response_id instead"
        if self.prompt is not None:
            return "prompt", "no prompts are kept here; send instructions and input"
        if self.background and not self.stores:
            return "background", "what is not stored cannot be fetched later; leave out store"
        if self.previous_response_id is not None and not self.stores:
            return "store", "what goes on from a response is stored with it; leave it out"
        return None

    def referenced(self) -> Mapping[str, str]:
        """Messages of earlier responses that the input names by their ids: field by id."""
        items = self.input if isinstance(self.input, list) else []
        return {
            name: f"input.{at}.id"
            for at, item in enumerate(items)
            if (name := _reference(item)) is not None and not name.startswith(_REASONING)
        }

    def messages(self, answers: Mapping[str, str] | None = None) -> list[Any]:
        """The input in the shape of chat messages; reasoning that a client sends back is left out.

        ``answers`` has the texts of the messages that are ``referenced``. Raises Invalid, which
        names the field, for items that are none.
        """
        if isinstance(self.input, str):
            return [{"role": "user", "content": self.input}]
        told = [
            _message(item, answers or {}, field=f"input.{at}") for at, item in enumerate(self.input)
        ]
        return [one for one in told if one is not None]

    def opening(self) -> list[Message]:
        """What stands before the input."""
        text = self.instructions
        return [{"role": "system", "content": storable(text)}] if text else []

    def shown(self) -> Json:
        """What a response shows again of the request."""
        return {
            "model": self.model,
            "instructions": self.instructions,
            "metadata": self.metadata or {},
            "previous_response_id": self.previous_response_id,
            "store": self.stores,
            "background": bool(self.background),
            "max_tool_calls": self.max_tool_calls,
        }


def _reference(item: Any) -> str | None:
    """The id of the item that another one stands for; None where it stands for itself."""
    if not isinstance(item, Mapping) or not isinstance(item.get("id"), str):
        return None
    kind = item.get("type")
    named = kind == "item_reference" or (kind is None and not {"role", "content"} & set(item))
    return storable(item["id"]) if named else None


def _message(item: Any, answers: Mapping[str, str], *, field: str) -> Any:
    """An item as a message, with files in the shape of chat completions; None for reasoning."""
    if not isinstance(item, Mapping):
        return item
    if (name := _reference(item)) is not None:
        return {"role": "assistant", "content": answers[name]} if name in answers else None
    kind = item.get("type", "message")
    if kind == "reasoning":
        return None
    if kind != "message":
        name = f"{field}.type"
        shown = storable(str(kind))[:50]
        raise Invalid(f"{name}: {shown} items are not read here; send messages", param=name)
    content = item.get("content")
    if isinstance(content, list):
        content = [_part(one) for one in content]
    return {"role": item.get("role"), "content": content}


def _part(part: Any) -> Any:
    if not isinstance(part, Mapping) or part.get("type") != "input_file":
        return part
    inner = {name: value for name, value in part.items() if name != "type"}
    return {"type": "file", "file": inner}


def id_of(run_id: str) -> str:
    """A response's id: its run's."""
    return PREFIX + run_id


def run_of(response_id: str) -> str:
    """A response's run."""
    return response_id.removeprefix(PREFIX)


def response_of(message_id: str) -> str:
    """The response that has a message."""
    return id_of(message_id.removeprefix(_MESSAGE))


def kept(asked: Asked) -> Json | None:
    """What is known of a run that was asked for by this wire, and that may be looked at again."""
    found = asked.kwargs.get(KWARGS)
    return dict(found) if isinstance(found, Mapping) and not asked.temporary else None


def status_of(record: RunRecord) -> str:
    """A response's state, while it has no end that could be rendered."""
    match record.status:
        case RunStatus.PENDING:
            return "queued"
        case RunStatus.CANCELLED:
            return "cancelled"
        case _:
            return "in_progress"


@dataclass(kw_only=True)
class Rendering:
    """One run on this wire; told its events in order. ``url`` is where files are fetched,
    ``documents`` where documents are known."""

    run_id: str
    thread_id: str
    created: int
    shown: Mapping[str, Any]
    url: sections.Url = path_of
    documents: sections.Url = document_path
    quiet: bool = False
    _number: int = 0
    _lines: list[str] = field(default_factory=list)

    def opening(self) -> list[Event]:
        """The first events: that there is a response, and that it is worked on."""
        return [
            self._event(f"response.{name}", response=self.body("in_progress"))
            for name in ("created", "in_progress")
        ]

    def progress(self, event: Mapping[str, Any]) -> list[Event]:
        """What an event adds to the summary of how the answer came about."""
        known = None if self.quiet else parsed(event)
        line = progress_line(known) if known else None
        if line is None:
            return []
        told = []
        if not self._lines:
            item = {**self._reasoning(), "status": "in_progress", "summary": []}
            told = [
                self._event("response.output_item.added", output_index=0, item=item),
                self._summary("part.added", part={"type": "summary_text", "text": ""}),
            ]
        self._lines.append(inert(line) + "\n")
        return [*told, self._summary("text.delta", delta=self._lines[-1])]

    def ending(self, finished: events.RunFinished) -> list[Event]:
        """The rest of a response that came to an answer."""
        message = self._message(finished)
        (part,) = message["content"]
        at: Json = {"item_id": message["id"], "output_index": len(self._reasoned())}
        within: Json = {**at, "content_index": 0}
        item = {**message, "status": "in_progress", "content": []}
        empty = {**part, "text": "", "annotations": []}
        deltas = [
            self._later("response.output_text.delta", **within, delta=piece, logprobs=[])
            for piece in pieces(part["text"])
        ]
        noted = [
            self._later(
                "response.output_text.annotation.added",
                **within,
                annotation_index=number,
                annotation=one,
            )
            for number, one in enumerate(part["annotations"])
        ]
        done = self.finished(finished)
        index = at["output_index"]
        told = [
            self._later("response.output_item.added", output_index=index, item=item),
            self._later("response.content_part.added", **within, part=empty),
            *deltas,
            *noted,
            self._later("response.output_text.done", **within, text=part["text"], logprobs=[]),
            self._later("response.content_part.done", **within, part=part),
            self._later("response.output_item.done", output_index=index, item=message),
            self._later(f"response.{done['status']}", response=done),
        ]
        return [*self._reasoning_done(), *(self._numbered(one) for one in told)]

    def failure(self, failed: events.RunFailed) -> list[Event]:
        """The rest of a response that came to none."""
        return [
            *self._reasoning_done(),
            self._event("response.failed", response=self.failed(failed)),
        ]

    def finished(self, finished: events.RunFinished) -> Json:
        """The whole response."""
        cut = finish_reason(finished.stop_reason) == "length"
        known = {"run_id": self.run_id, "thread_id": self.thread_id}
        return {
            **self.body("incomplete" if cut else "completed"),
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": [*self._reasoned(), self._message(finished)],
            "usage": _usage(finished.usage),
            "counterpoint": {**known, **as_data(finished, url=self.url)},
        }

    def failed(self, failed: events.RunFailed) -> Json:
        """A response whose run failed or was ended."""
        ended = failed.error == "cancelled"
        error = None if ended else {"code": failed.error, "message": failed.message}
        return {
            **self.body("cancelled" if ended else "failed"),
            "error": error,
            "output": self._reasoned(),
            "usage": _usage(failed.usage),
        }

    def body(self, status: str) -> Json:
        """A response without what only its end brings."""
        return {
            "id": id_of(self.run_id),
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "text": {"format": {"type": "text"}},
            "usage": None,
            **self.shown,
        }

    def _message(self, finished: events.RunFinished) -> Json:
        # Flat here, within `url_citation` in chat completions.
        noted = cited(finished, url=self.documents)
        annotations = [{"type": one["type"], **one["url_citation"]} for one in noted]
        text = answer_text(finished, url=self.url)
        part = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
        return {
            "id": _MESSAGE + self.run_id,
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [part],
        }

    def _reasoning(self) -> Json:
        text = {"type": "summary_text", "text": "".join(self._lines)}
        return {"id": _REASONING + self.run_id, "type": "reasoning", "summary": [text]}

    def _reasoned(self) -> list[Json]:
        return [{**self._reasoning(), "status": "completed"}] if self._lines else []

    def _reasoning_done(self) -> list[Event]:
        if not self._lines:
            return []
        (item,) = self._reasoned()
        (part,) = item["summary"]
        return [
            self._summary("text.done", text=part["text"]),
            self._summary("part.done", part=part),
            self._event("response.output_item.done", output_index=0, item=item),
        ]

    def _summary(self, name: str, **told: Any) -> Event:
        at = {"item_id": _REASONING + self.run_id, "output_index": 0, "summary_index": 0}
        return self._event(f"response.reasoning_summary_{name}", **at, **told)

    def _event(self, kind: str, **told: Any) -> Event:
        return self._numbered(self._later(kind, **told))

    def _later(self, kind: str, **told: Any) -> Event:
        return {"type": kind, **told}

    def _numbered(self, event: Event) -> Event:
        event["sequence_number"] = self._number
        self._number += 1
        return event


def _usage(used: events.Usage) -> Json:
    return {
        "input_tokens": used.input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": used.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": used.input_tokens + used.output_tokens,
    }


def behind(told: Sequence[Event], number: int | None) -> list[Event]:
    """The events behind a number; all of them without one."""
    return [one for one in told if number is None or one["sequence_number"] > number]
