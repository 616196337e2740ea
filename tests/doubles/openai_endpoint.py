"""An OpenAI-compatible endpoint over real HTTP that replies by script, well or badly.

One reply is used for each request, in order. A request without a reply and a reply without a
request both fail the test when the endpoint is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self


class Cut(StrEnum):
    """How a stream ends too early."""

    RESET = "reset"  # the connection is torn down
    CLOSED = "closed"  # closed in the middle of the body
    QUIET = "quiet"  # the body ends in form, but no finish_reason was sent


@dataclass(frozen=True, kw_only=True)
class Call:
    """A tool call as it goes over the wire; ``args`` as text, so that it can be malformed."""

    name: str
    args: str
    id: str = "call_1"


@dataclass(frozen=True, kw_only=True)
class Says:
    """One reply of the endpoint. ``usage`` None leaves it out; ``cut`` ends it half-way."""

    text: str = ""
    calls: tuple[Call, ...] = ()
    finish: str = "stop"
    usage: tuple[int, int] | None = (50, 10)
    cut: Cut | None = None
    error_after_text: str = ""


@dataclass(frozen=True, kw_only=True)
class Fails:
    """An HTTP status instead of a reply."""

    status: int
    message: str = "it went wrong"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Hangs:
    """No answer until the client gives up; ``after_text``: the stream begins, then stops."""

    after_text: str = ""


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A 200 whose body is not what was asked for."""

    body: str
    content_type: str = "text/html"


Behaviour = Says | Fails | Hangs | Raw


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sent."""

    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]


class OpenAIEndpoint:
    """Listens on a free loopback port inside the running loop."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.hanging = asyncio.Event()
        self._script: list[Behaviour] = []
        self._unexpected: list[Request] = []
        self._closing = asyncio.Event()
        self._handlers: set[asyncio.Task[None]] = set()

    async def start(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def will(self, *script: Behaviour) -> None:
        """Add replies to the end of the script."""
        self._script.extend(script)

    def assert_exhausted(self) -> None:
        assert not self._unexpected, f"no reply was scripted for {self._unexpected}"
        assert not self._script, f"nobody asked for {self._script}"

    async def aclose(self) -> None:
        self._closing.set()
        self._server.close()
        if self._handlers:
            await asyncio.wait(self._handlers, timeout=5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self._reply(await _read(reader), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._handlers.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        if not self._script:
            self._unexpected.append(request)
            await _send(writer, 418, json.dumps({"error": {"message": "nothing scripted"}}))
            return
        behaviour = self._script.pop(0)
        match behaviour:
            case Fails():
                error = {"message": behaviour.message, "code": behaviour.code}
                body = json.dumps({"error": error})
                await _send(writer, behaviour.status, body, headers=behaviour.headers)
            case Raw():
                kind = behaviour.content_type
                await _send(writer, 200, behaviour.body, content_type=kind)
            case Hangs():
                if behaviour.after_text:
                    await _begin(writer)
                    await _event(writer, _delta({"content": behaviour.after_text}))
                self.hanging.set()
                await self._closing.wait()
            case Says() if request.body.get("stream"):
                await _stream(writer, behaviour, request)
            case Says():
                await _send(writer, 200, json.dumps(_whole(behaviour)))


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    pairs = (line.partition(":") for line in head[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(path=head[0].split()[1], headers=headers, body=json.loads(body or b"{}"))


async def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: str,
    *,
    headers: Mapping[str, str] | None = None,
    content_type: str = "application/json",
) -> None:
    raw = body.encode()
    lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {content_type}"]
    lines += [f"content-length: {len(raw)}", "connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join([*lines, "", ""]).encode() + raw)
    await writer.drain()


async def _begin(writer: asyncio.StreamWriter) -> None:
    lines = ["HTTP/1.1 200 OK", "content-type: text/event-stream"]
    lines += ["transfer-encoding: chunked", "connection: close", "", ""]
    writer.write("\r\n".join(lines).encode())
    await writer.drain()


async def _event(writer: asyncio.StreamWriter, data: Mapping[str, Any] | str) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    raw = f"data: {text}\n\n".encode()
    writer.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
    await writer.drain()


async def _stream(writer: asyncio.StreamWriter, says: Says, request: Request) -> None:
    await _begin(writer)
    deltas = [_delta({"role": "assistant", "content": ""})]
    deltas += [_delta({"content": piece}) for piece in _pieces(says.text)]
    for index, call in enumerate(says.calls):
        head = {"name": call.name, "arguments": ""}
        first = {"index": index, "id": call.id, "type": "function", "function": head}
        deltas.append(_delta({"tool_calls": [first]}))
        for piece in _pieces(call.args):
            rest = {"index": index, "function": {"arguments": piece}}
            deltas.append(_delta({"tool_calls": [rest]}))
    for delta in deltas[: len(deltas) // 2 + 1] if says.cut else deltas:
        await _event(writer, delta)
    if says.cut is Cut.RESET:
        writer.transport.abort()
    if says.cut in (Cut.RESET, Cut.CLOSED):
        return
    if says.error_after_text:
        await _event(writer, {"error": {"message": says.error_after_text}})
    elif says.cut is None:
        await _event(writer, _delta({}, finish=says.finish))
        if says.usage and request.body.get("stream_options", {}).get("include_usage"):
            await _event(writer, {**_delta({}), "choices": [], "usage": _usage(says.usage)})
    await _event(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _pieces(text: str) -> list[str]:
    return [text[start : start + 7] for start in range(0, len(text), 7)]


def _delta(delta: Mapping[str, Any], *, finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "double",
        "choices": [choice],
    }


def _whole(says: Says) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": says.text}
    if says.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.args},
            }
            for call in says.calls
        ]
    reply: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "double",
        "choices": [{"index": 0, "message": message, "finish_reason": says.finish}],
    }
    return reply | ({"usage": _usage(says.usage)} if says.usage else {})


def _usage(usage: tuple[int, int]) -> dict[str, int]:
    return {
        "prompt_tokens": usage[0],
        "completion_tokens": usage[1],
        "total_tokens": sum(usage),
    }
