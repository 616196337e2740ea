"""``python -m models.llama_serve``: the local model in a process of its own, for several workers.

Serves until SIGTERM or Ctrl-C. Exit code 3 where the model cannot be had.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

from models.artifacts import WeightsError
from models.llama import LlamaServer

_SHORTEST_KEY = 16


def main() -> int:
    """Serve until a signal."""
    asked = _asked()
    try:
        return asyncio.run(_serve(asked))
    except WeightsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


async def _serve(asked: argparse.Namespace) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = LlamaServer(
        asked.weights,
        name=asked.name,
        context=asked.context,
        slots=asked.slots,
        threads=asked.threads,
        host=asked.host,
        port=asked.port,
        api_key=await asyncio.to_thread(_key, asked.key_file),
    )
    await server.start()
    try:
        print(f"{server.name} is served at {server.base_url}", flush=True)
        await stop.wait()
    finally:
        await server.close()
    return 0


def _key(path: Path) -> str:
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"--key-file: {path} cannot be read ({error})") from None
    if len(key) < _SHORTEST_KEY:
        raise WeightsError(f"--key-file: the key has to have {_SHORTEST_KEY} characters or more")
    return key


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m models.llama_serve", description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--name", default="local", help="what the model is called")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8001, help="port to listen on")
    parser.add_argument("--key-file", type=Path, required=True, help="holds the bearer key")
    parser.add_argument("--context", type=int, default=8192, help="tokens of one request")
    parser.add_argument("--slots", type=int, default=2, help="requests at a time")
    parser.add_argument("--threads", type=int, help="absent: all usable cores, 16 at most")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
