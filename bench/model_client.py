"""``python -m bench.model_client``: what a streamed model call costs this process.

An endpoint in a process of its own streams replies of 32 tokens to four calls at once: without
latency, with one write a reply or one a token, and paced, as real models write. CPU milliseconds
are for five calls, as a run of the team makes them; the ratio is to ChatOpenAI in the same run.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any

import aiohttp
import httpx
import orjson
from langchain_core.messages import HumanMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from models import chat, lean
from models.registry import ModelSpec, ToolMode

TOKENS = 32
CALLS = 5
ROUNDS = 5
CALLS_A_ROUND = 60
AT_ONCE = 4
PAUSE = 0.002  # seconds between tokens; without it, the network joins some into one read
QUESTION = HumanMessage("How long can I return an annual plan?")
WRITES = {"reply": "one write a reply", "token": "one a token", "paced": "one each 2 ms"}
Call = Callable[[], Awaitable[int]]


def _frames() -> list[bytes]:
    base = {"id": "c-1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": f" tok{number}"} for number in range(TOKENS)]
    frames = [
        {**base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        for delta in deltas
    ]
    frames.append({**base, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    usage = {"prompt_tokens": 20, "completion_tokens": TOKENS, "total_tokens": 20 + TOKENS}
    frames.append({**base, "choices": [], "usage": usage})
    return [b"data: " + orjson.dumps(frame) + b"\n\n" for frame in frames] + [b"data: [DONE]\n\n"]


def _serve(wire: Connection) -> None:
    """The endpoint; the path says how it writes: ``/token/v1``."""
    chunks = [f"{len(raw):x}\r\n".encode() + raw + b"\r\n" for raw in _frames()] + [b"0\r\n\r\n"]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = asked.lower().split(b"content-length:")[1].split(b"\r\n")[0]
                await reader.readexactly(int(length))
                way = asked.split(b"/")[1]
                if way == b"reply":
                    writer.write(head + b"".join(chunks))
                    continue
                for part in (head, *chunks):
                    writer.write(part)
                    await asyncio.sleep(PAUSE if way == b"paced" else 0)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main() -> None:
        server = await asyncio.start_server(accept, "127.0.0.1", 0)
        wire.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _spec(url: str) -> ModelSpec:
    return ModelSpec(name="m", model="m", url=url, key=SecretStr("none"), tools=ToolMode.NATIVE)


@asynccontextmanager
async def _raw_aiohttp(url: str) -> AsyncIterator[Call]:
    async with aiohttp.ClientSession() as session:

        async def call() -> int:
            read = 0
            async with session.post(f"{url}/chat/completions", json=_body()) as response:
                async for line in response.content:
                    read += _token(line)
            return read

        yield call


@asynccontextmanager
async def _raw_httpx(url: str) -> AsyncIterator[Call]:
    async with httpx.AsyncClient() as client:

        async def call() -> int:
            read = 0
            target = f"{url}/chat/completions"
            async with client.stream("POST", target, json=_body()) as response:
                async for line in response.aiter_lines():
                    read += _token(line.encode())
            return read

        yield call


@asynccontextmanager
async def _lean(url: str) -> AsyncIterator[Call]:
    client = lean.connect(_spec(url))

    async def call() -> int:
        return sum([1 async for piece in client.pieces([QUESTION]) if piece.text])

    yield call
    await client.aclose()


@asynccontextmanager
async def _chat_model(url: str) -> AsyncIterator[Call]:
    model = chat.build(_spec(url))

    async def call() -> int:
        reply = await model.call([QUESTION], heard=lambda heard: None)
        return reply.usage.output_tokens

    yield call
    await model.aclose()


@asynccontextmanager
async def _lean_astream(url: str) -> AsyncIterator[Call]:
    client = lean.connect(_spec(url))

    async def call() -> int:
        return sum([1 async for chunk in client.astream([QUESTION]) if chunk.text])

    yield call
    await client.aclose()


@asynccontextmanager
async def _chat_openai(url: str) -> AsyncIterator[Call]:
    client = ChatOpenAI(model="m", base_url=url, api_key=SecretStr("none"), stream_usage=True)

    async def call() -> int:
        return sum([1 async for chunk in client.astream([QUESTION]) if chunk.text])

    yield call
    await client.root_async_client.close()


CLIENTS = {
    "raw aiohttp": _raw_aiohttp,
    "raw httpx": _raw_httpx,
    "lean, its stream": _lean,
    "lean, ChatModel.call": _chat_model,
    "lean, LangChain's astream": _lean_astream,
    "ChatOpenAI": _chat_openai,
}


def _body() -> dict[str, Any]:
    messages = [{"role": "user", "content": QUESTION.content}]
    return {
        "model": "m",
        "messages": messages,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _token(line: bytes) -> int:
    if not line.startswith(b"data: {"):
        return 0
    choices = orjson.loads(line[6:])["choices"]
    return bool(choices and choices[0]["delta"].get("content"))


async def _measure(call: Call) -> float:
    """CPU milliseconds of this process for one call."""

    async def some() -> None:
        for _ in range(CALLS_A_ROUND // AT_ONCE):
            if (got := await call()) != TOKENS:
                raise RuntimeError(f"{got} tokens came instead of {TOKENS}")

    started = time.process_time()
    await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return 1000 * (time.process_time() - started) / CALLS_A_ROUND


async def _compare(base: str) -> None:
    found: dict[tuple[str, str], list[float]] = {}
    async with AsyncExitStack() as stack:
        calls = {
            (name, writes): await stack.enter_async_context(opened(f"{base}/{writes}/v1"))
            for writes in WRITES
            for name, opened in CLIENTS.items()
        }
        for call in calls.values():
            await call()
        # Round by round, so that a busy moment of the machine falls on all of them.
        for _ in range(ROUNDS):
            for which, call in calls.items():
                gc.collect()
                found.setdefault(which, []).append(await _measure(call))
    print(f"CPU ms for {CALLS} streamed calls of {TOKENS} tokens; times less than ChatOpenAI")
    print(f"{'':26} | {' | '.join(f'{told:>17}' for told in WRITES.values())}")
    for name in CLIENTS:
        cells = []
        for writes in WRITES:
            cost, whole = (
                CALLS * statistics.median(found[(each, writes)]) for each in (name, "ChatOpenAI")
            )
            cells.append(f"{cost:8.2f} {whole / cost:7.1f}x")
        print(f"{name:26} | {' | '.join(cells)}")


def main() -> None:
    """Print the table."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,))
    server.start()
    try:
        asyncio.run(_compare(f"http://127.0.0.1:{ours.recv()}"))
    finally:
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
