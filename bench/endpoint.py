"""An OpenAI-compatible endpoint without latency, in a process of its own.

It plays every role of the team: it answers by what it is asked. Usage is sent; each token is one
write, as real models send them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import orjson
import uvloop

QUESTION = "How long can I return an annual plan, and who approves a refund?"
DOCUMENT = (
    "# Plans\n\n## Money back\n\n"
    "An annual plan is refunded in full if the request reaches us within forty-five days. "
    "The team lead approves a refund, and writes down why.\n"
)
RETURNS = "An annual plan is refunded in full when the request reaches us within forty-five days"
APPROVES = "The team lead approves a refund and writes down why it was given to the customer"
WORDS = 32
_PACE = re.compile(r"\[pace (\d+) ms, (\d+) tokens\]")
STAMP = re.compile(rb"@([a-p]{16})@")
_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_DIGITS = str.maketrans("abcdefghijklmnop", "0123456789abcdef")
INPUT_TOKENS = 500


def stamp() -> str:
    """The time of day in letters: a number would have to be found in a document."""
    return f"@{time.time_ns():016x}@".translate(_LETTERS)


def stamped(letters: bytes) -> float:
    """The time of day in seconds that a stamp holds."""
    return int(letters.decode().translate(_DIGITS), 16) / 1e9


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Text in tokens, or one call; ``pause`` seconds between tokens, each then holds a stamp."""

    tokens: tuple[str, ...] = ()
    tool: str = ""
    args: Mapping[str, Any] | None = None
    pause: float = 0.0

    @property
    def output_tokens(self) -> int:
        return len(self.tokens) or 24


def answer_to(body: Mapping[str, Any]) -> Answer:
    """What the role says that is asked here."""
    tools = {tool["function"]["name"]: tool["function"] for tool in body.get("tools") or ()}
    said = str(body["messages"][-1]["content"])
    if "answer" in tools:
        fields = tools["answer"]["parameters"]["properties"]
        if "move" in fields:
            return Answer(tool="answer", args={"move": "research", "text": "", "tasks": [said]})
        return Answer(tool="answer", args={"reason": "The passage says so.", "supported": True})
    if paced := _PACE.search(json.dumps(body["messages"])):
        milliseconds, count = int(paced[1]), int(paced[2])
        return Answer(tokens=("so ",) * count, pause=milliseconds / 1000)
    both = f"{RETURNS} [1]. {APPROVES} [1]."
    if "search_documents" in tools:
        text = f"{APPROVES} [1]." if "approves" in said.rpartition("Question:")[2] else RETURNS
    else:
        text = both
    words = text.split()
    filled = (words * (WORDS // len(words) + 1))[:WORDS] if len(words) < WORDS else words[:WORDS]
    return Answer(tokens=tuple(f"{word} " for word in filled))


def pieces(answer: Answer) -> list[dict[str, Any]]:
    """The deltas of a streamed reply, without its end."""
    if answer.tool:
        head = {"name": answer.tool, "arguments": ""}
        written = orjson.dumps(answer.args).decode()
        first = {"index": 0, "id": f"call_{time.monotonic_ns()}", "type": "function"}
        deltas: list[dict[str, Any]] = [{"tool_calls": [{**first, "function": head}]}]
        size = max(1, len(written) // 8)
        for start in range(0, len(written), size):
            part = {"index": 0, "function": {"arguments": written[start : start + size]}}
            deltas.append({"tool_calls": [part]})
        return deltas
    return [{"content": token} for token in answer.tokens]


class Endpoint(asyncio.Protocol):
    """One connection, kept open; requests come one after another."""

    def __init__(self) -> None:
        self._read = bytearray()
        self._transport: asyncio.Transport | None = None
        self._pacing: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's is no subclass.
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._pacing is not None:
            self._pacing.cancel()

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._read[:end]).lower()
            found = re.search(rb"content-length: *(\d+)", head)
            length = int(found[1]) if found else 0
            if len(self._read) < end + 4 + length:
                return
            raw = bytes(self._read[end + 4 : end + 4 + length])
            del self._read[: end + 4 + length]
            self._reply(orjson.loads(raw) if raw else None)

    def _reply(self, body: Mapping[str, Any] | None) -> None:
        if body is None:
            models = orjson.dumps({"object": "list", "data": [{"id": "bench", "object": "model"}]})
            self._send(b"application/json", models)
            return
        answer = answer_to(body)
        if not body.get("stream"):
            raise ValueError("the server is expected to stream")
        self._write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        if answer.pause:
            self._pacing = asyncio.create_task(self._paced(answer))
            return
        self._event({"role": "assistant", "content": ""})
        for delta in pieces(answer):
            self._event(delta)
        self._end(answer)

    async def _paced(self, answer: Answer) -> None:
        for _ in answer.tokens:
            await asyncio.sleep(answer.pause)
            self._event({"content": f"{stamp()} "})
        self._end(answer)

    def _end(self, answer: Answer) -> None:
        self._event({}, finish="tool_calls" if answer.tool else "stop")
        usage = {
            "prompt_tokens": INPUT_TOKENS,
            "completion_tokens": answer.output_tokens,
            "total_tokens": INPUT_TOKENS + answer.output_tokens,
        }
        self._chunk(b"data: " + orjson.dumps(_CHUNK | {"choices": [], "usage": usage}) + b"\n\n")
        self._chunk(b"data: [DONE]\n\n")
        self._write(b"0\r\n\r\n")

    def _event(self, delta: Mapping[str, Any], *, finish: str | None = None) -> None:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self._chunk(b"data: " + orjson.dumps(_CHUNK | {"choices": [choice]}) + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self._write(b"%x\r\n%b\r\n" % (len(data), data))

    def _send(self, kind: bytes, body: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\n\r\n"
        self._write(head % (kind, len(body)) + body)

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


_CHUNK = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0, "model": "bench"}


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Endpoint, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        # Its end is that of whoever started it.
        await asyncio.to_thread(sys.stdin.buffer.read)


class Running:
    """The endpoint as a child process; ``url`` ends in /v1."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self.url = ""

    async def __aenter__(self) -> Running:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "bench.endpoint",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self.url = f"http://127.0.0.1:{int(await self._process.stdout.readline())}/v1"
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid


def main() -> None:
    """Print the port, serve until stdin ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(asked.port))


if __name__ == "__main__":
    main()
