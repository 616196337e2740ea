"""A model provider that fails as asked and keeps its own books: what it served, and to whom.

A question that holds ``run rN`` is booked on that run. One that holds ``do [[...]] done`` (rounds
of calls, as `calling` writes them) is answered with these calls, round by round.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

import orjson

from bench.endpoint import INPUT_TOKENS, Answer, answer_to, pieces

_NAME = re.compile(r"\brun (r\d+)\b")
_ROUNDS = re.compile(r"do (\[\[.*?\]\]) done")

Call = tuple[str, Mapping[str, Any]]
"""A tool's name, and the arguments."""


def calling(name: str, rounds: Sequence[Sequence[Call]]) -> str:
    """A question of a run that makes the model want these calls, those of a round at once."""
    return f"For run {name} do {json.dumps(rounds)} done"


class Fault(StrEnum):
    """What one request meets."""

    RATE_LIMITED = "429"
    RATE_LIMITED_AFTER = "429 with Retry-After"
    FAILED = "500"
    SILENT = "no answer"
    CUT = "cut in mid-stream"
    MALFORMED = "a tool's arguments that are no JSON"
    EMPTY = "an empty reply"
    HUGE = "far more than max_tokens"
    SLOW = "one token at a time"
    NO_USAGE = "no usage"


@dataclass
class Books:
    """What was served to one run: ``tokens`` as told in usage, ``untold`` written without one."""

    requests: int = 0
    told: int = 0
    tokens: int = 0
    untold: int = 0


@dataclass
class Provider:
    """Open it with ``async with``; ``faults`` are met by the next requests, in order."""

    faults: list[Fault] = field(default_factory=list)
    books: defaultdict[str, Books] = field(default_factory=lambda: defaultdict(Books))
    met: Counter[Fault] = field(default_factory=Counter)
    slow_seconds: float = 0.02
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[Any]] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = re.search(rb"content-length: *(\d+)", head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                await self._serve(orjson.loads(body), writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _serve(self, body: Mapping[str, Any], writer: asyncio.StreamWriter) -> None:
        found = _NAME.search(str(body["messages"]))
        books = self.books[found[1] if found else ""]
        books.requests += 1
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None:
            self.met[fault] += 1
        match fault:
            case Fault.RATE_LIMITED:
                await _refuse(writer, 429)
            case Fault.RATE_LIMITED_AFTER:
                await _refuse(writer, 429, "retry-after: 0.1")
            case Fault.FAILED:
                await _refuse(writer, 500)
            case Fault.SILENT:
                await asyncio.Event().wait()
            case _:
                await self._stream(body, writer, books=books, fault=fault)

    async def _stream(
        self,
        body: Mapping[str, Any],
        writer: asyncio.StreamWriter,
        *,
        books: Books,
        fault: Fault | None,
    ) -> None:
        answer, deltas = _wanted(body)
        match fault:
            case Fault.MALFORMED if answer.tool:
                deltas = deltas[: len(deltas) // 2]
            case Fault.EMPTY:
                deltas = []
            case Fault.HUGE:
                deltas = [{"content": "word " * 400}] * 200
                # Its reader gives up long before the usage, which may be on its way by then.
                books.untold += len(deltas)
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for number, delta in enumerate(deltas):
            await _event(writer, {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
            if fault is Fault.SLOW:
                await asyncio.sleep(self.slow_seconds)
            if fault is Fault.CUT and number >= len(deltas) // 2:
                books.untold += number
                writer.transport.abort()
                raise ConnectionResetError("cut as asked")
        finish = "tool_calls" if answer.tool and deltas else "stop"
        await _event(writer, {"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
        if fault is not Fault.NO_USAGE:
            await self._tell_usage(writer, answer, books=books)
        else:
            books.untold += answer.output_tokens
        await _chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _tell_usage(
        self, writer: asyncio.StreamWriter, answer: Answer, *, books: Books
    ) -> None:
        written = answer.output_tokens
        usage = {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": written,
            "total_tokens": INPUT_TOKENS + written,
        }
        # Booked first: who dies while it reads this has been served it.
        books.told += 1
        books.tokens += INPUT_TOKENS + written
        await _event(writer, {"choices": [], "usage": usage})


def _wanted(body: Mapping[str, Any]) -> tuple[Answer, list[dict[str, Any]]]:
    """The answer, and the deltas in which it is sent."""
    texts = [str(one.get("content") or "") for one in body["messages"]]
    found = next((match for text in texts if (match := _ROUNDS.search(text))), None)
    if found is None:
        answer = answer_to(body)
        return answer, pieces(answer)
    rounds = json.loads(found[1])
    names = {name for calls in rounds for name, _ in calls}
    made = sum(
        any(call["function"]["name"] in names for call in one.get("tool_calls") or ())
        for one in body["messages"]
    )
    if made >= len(rounds):
        return Answer(tokens=("Done.",)), [{"content": "Done."}]
    calls = [
        {
            "index": index,
            "id": f"call_{time.monotonic_ns()}_{index}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(args)},
        }
        for index, (name, args) in enumerate(rounds[made])
    ]
    return Answer(tool=rounds[made][0][0], args={}), [{"tool_calls": [one]} for one in calls]


async def _refuse(writer: asyncio.StreamWriter, status: int, *headers: str) -> None:
    body = b'{"error": {"message": "as asked", "code": "as_asked"}}'
    lines = [f"HTTP/1.1 {status} Refused", "content-type: application/json", *headers]
    writer.write("\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body)
    await writer.drain()


async def _event(writer: asyncio.StreamWriter, said: Mapping[str, Any]) -> None:
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    await _chunk(writer, b"data: " + orjson.dumps({**common, **said}) + b"\n\n")


async def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))
    await writer.drain()
