"""OpenAI's chat completions: what is asked, and a run rendered as chunks or as one body. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from graphs import events
from server.errors import openai_error, run_status
from server.wire import sections
from server.wire.files import path_of
from server.wire.printable import inert, short
from server.wire.progress_text import parsed, progress_line
from server.wire.sections import SOURCES

COLLECTION = r"^[A-Za-z0-9_.-]{1,64}$"
SOURCE_TEXT = 160
# An answer is known at once; pieces of a few words let a reader's screen follow.
PIECE = re.compile(r"(?:\s*\S+){1,6}\s*|\s+")

Chunk = dict[str, Any]


def document_path(document_id: str) -> str:
    """Where a document is known."""
    return f"/documents/{quote(document_id, safe='')}"


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="ignore")

    include_usage: bool | None = False


class ChatRequest(BaseModel):
    """A chat completion as asked. Sampling parameters and unknown fields are taken and not used;
    ``tools`` of the client's own are not called.
    """

    model_config = ConfigDict(extra="ignore")

    model: str = Field(max_length=200, description="one of `GET /v1/models`")
    messages: list[dict[str, Any]] = Field(
        min_length=1, max_length=10_000, description='`{"role", "content"}`, content in text'
    )
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: int | None = 1
    tool_choice: str | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    service_tier: str | None = Field(
        default=None, description="`flex`: nobody waits for it, others may go first"
    )
    collection: str | None = Field(
        default=None, pattern=COLLECTION, description="documents to answer from"
    )

    def unsupported(self) -> tuple[str, str] | None:
        """The first field that asks for what cannot be done, and what to do instead."""
        if self.n is not None and self.n != 1:
            return "n", "one answer is given; leave it out, or ask again"
        if self.tool_choice not in (None, "auto", "none"):
            return "tool_choice", "the client's own tools are not called; leave it out"
        if self.response_format and self.response_format.get("type") not in (None, "text"):
            return "response_format", "answers are text; leave it out"
        return None


def model_object(name: str, *, created: int) -> dict[str, Any]:
    """One entry of the list of models."""
    return {"id": name, "object": "model", "created": created, "owned_by": "counterpoint"}


@dataclass(kw_only=True)
class Completion:
    """One run on this wire; told its events in order.

    ``url`` is where files are fetched, ``documents`` where documents are known. ``quiet``: its
    progress is for nobody to see.
    """

    run_id: str
    thread_id: str
    model: str
    created: int
    include_usage: bool = False
    url: sections.Url = path_of
    documents: sections.Url = document_path
    quiet: bool = False
    _progress: list[str] = field(default_factory=list)

    def opening(self) -> Chunk:
        """The first chunk: who speaks."""
        return self._chunk({"role": "assistant", "content": ""})

    def progress(self, event: Mapping[str, Any]) -> list[Chunk]:
        """What an event adds to the reasoning."""
        known = None if self.quiet else parsed(event)
        line = progress_line(known) if known else None
        if line is None:
            return []
        self._progress.append(inert(line))
        return [self._chunk({"reasoning_content": self._progress[-1] + "\n"})]

    def ending(self, finished: events.RunFinished) -> list[Chunk]:
        """The answer in pieces, its sources, why it ended, and what it took if that was asked."""
        text = self._text(finished)
        chunks = [self._chunk({"content": piece}) for piece in pieces(text)]
        noted = cited(finished, url=self.documents)
        last = self._chunk(
            {"annotations": noted} if noted else {},
            finish_reason=finish_reason(finished.stop_reason),
        )
        chunks.append({**last, "counterpoint": self._more(finished)})
        if self.include_usage:
            chunks.append(
                {**self._head("chat.completion.chunk"), "choices": [], "usage": usage(finished)}
            )
        return chunks

    def failure(self, failed: events.RunFailed) -> Chunk:
        """A failure after the stream began; OpenAI's clients raise it."""
        status = run_status(failed.error)
        error = openai_error(failed.message, status=status, code=failed.error)
        return {"error": error, "detail": failed.message}

    def body(self, finished: events.RunFinished) -> dict[str, Any]:
        """The whole completion at once."""
        message = {
            "role": "assistant",
            "content": self._text(finished),
            "refusal": None,
            "annotations": cited(finished, url=self.documents),
            "reasoning_content": "".join(line + "\n" for line in self._progress),
        }
        reason = finish_reason(finished.stop_reason)
        return {
            **self._head("chat.completion"),
            "choices": [
                {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
            ],
            "usage": usage(finished),
            "counterpoint": self._more(finished),
        }

    def _text(self, finished: events.RunFinished) -> str:
        return answer_text(finished, url=self.url)

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.run_id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def _chunk(self, delta: dict[str, Any], *, finish_reason: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "finish_reason": finish_reason, "logprobs": None}
        return {**self._head("chat.completion.chunk"), "choices": [choice]}

    def _more(self, finished: events.RunFinished) -> dict[str, Any]:
        known = {"run_id": self.run_id, "thread_id": self.thread_id}
        return {**known, **as_data(finished, url=self.url)}


def answer_text(finished: events.RunFinished, *, url: sections.Url) -> str:
    """The answer, and what people are shown under it."""
    answer = finished.answer
    if not finished.citations:
        # Else they would count other characters than those that are sent.
        answer = sections.absolute(answer, finished.artifacts, url=url)
    return answer + sections.under(finished, url=url) + source_list(finished)


def as_data(finished: events.RunFinished, *, url: sections.Url) -> dict[str, Any]:
    """What OpenAI's wires have no field for."""
    return {
        "stop_reason": finished.stop_reason,
        "sources": [source.model_dump(mode="json") for source in finished.sources],
        "citations": [one.model_dump(mode="json") for one in finished.citations],
        "artifacts": [
            {**one.model_dump(mode="json"), "url": url(one.id)} for one in finished.artifacts
        ],
        "cells": [one.model_dump(mode="json") for one in finished.cells],
        "usage": finished.usage.model_dump(mode="json"),
    }


def pieces(text: str) -> list[str]:
    """Text in pieces of a few words; joined they are the text."""
    return PIECE.findall(text)


def finish_reason(stop_reason: str) -> str:
    return "length" if stop_reason.startswith("max_") else "stop"


def usage(finished: events.RunFinished) -> dict[str, int]:
    """Tokens of every model call of the run."""
    used = finished.usage
    return {
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
    }


def cited(finished: events.RunFinished, *, url: sections.Url) -> list[dict[str, Any]]:
    """The answer's citations as OpenAI's clients know them; web pages by their own address.

    A document is where ``url`` has it, the place in it told by RFC 5147: `#char=START,END`.
    """
    titles = {source.number: source.title for source in finished.sources}
    found = []
    for one in finished.citations:
        where = one.source
        if not where.startswith(("http://", "https://")):
            place = f"#char={one.span[0]},{one.span[1]}" if one.span else ""
            where = url(one.document_id) + place
        about = {
            "start_index": one.start,
            "end_index": one.end,
            "title": titles.get(one.number, ""),
            "url": where,
        }
        found.append({"type": "url_citation", "url_citation": about})
    return found


def source_list(finished: events.RunFinished) -> str:
    """The numbered sources as text, so that every frontend shows them; empty without any."""
    if not finished.sources:
        return ""
    return SOURCES + "\n".join(source_line(source) for source in finished.sources)


def source_line(source: events.Source) -> str:
    """One source: its number, file, page or heading, and how its passage begins."""
    name = source.source.replace("\\", "/").rsplit("/", 1)[-1]
    place = [
        short(name),
        *([f"page {source.page}"] if source.page is not None else []),
        *([short(source.heading)] if source.heading else []),
    ]
    text = short(source.text, longest=SOURCE_TEXT)
    return inert(f"[{source.number}] {', '.join(place)}: “{text}”")
