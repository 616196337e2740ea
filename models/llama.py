"""The local chat model: llama.cpp behind an OpenAI-compatible URL on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import secrets
import signal
import sys
import time
from collections import deque
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from models.artifacts import WeightsError

logger = logging.getLogger(__name__)

_CHILD = Path(__file__).with_name("llama_child.py")
_MAGIC = b"GGUF"
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_STOP_SECONDS = 1.0
_REVIVE_SECONDS = 0.5
_STEADY_SECONDS = 60.0


def usable_cores() -> int:
    """Cores this process may use: its affinity, and the quota of its container."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = _CGROUP_QUOTA.read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    return cores


class LlamaServer:
    """One model file served by llama.cpp in a process of its own, for those who have its key.

    ``context`` is tokens per slot and ``slots`` how many requests run at once; further ones
    wait. ``threads`` defaults to the usable cores, sixteen at most. Requests carry ``api_key``
    as bearer, made where none is given, so that other users of the machine cannot use it. A
    process that dies is started again at the same address.
    """

    def __init__(
        self,
        model: Path,
        *,
        name: str = "local",
        context: int = 8192,
        slots: int = 2,
        threads: int | None = None,
        prompt_cache_mib: int = 512,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        start_seconds: float = 300.0,
        debug: bool = False,
    ) -> None:
        self._model = model
        self._name = name
        self._context = context
        self._slots = slots
        self._threads = threads or min(usable_cores(), 16)
        self._prompt_cache_mib = prompt_cache_mib
        self._host = host
        self._port = port
        self._start_seconds = start_seconds
        self._debug = debug
        self._api_key = api_key or secrets.token_urlsafe(24)
        self._address: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stderr: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._last_words: deque[str] = deque(maxlen=20)

    @property
    def name(self) -> str:
        """What the model is called at ``base_url``."""
        return self._name

    @property
    def context(self) -> int:
        """Tokens that one request may hold, prompt and reply together."""
        return self._context

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def api_key(self) -> str:
        return self._api_key

    @property
    def base_url(self) -> str:
        """``http://127.0.0.1:PORT/v1``; raises ``WeightsError`` before ``start``."""
        if self._address is None:
            raise WeightsError("the local model is not running: start it first")
        return f"{self._address}/v1"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Load the model and return when it answers.

        Raises ``WeightsError`` where the file is missing or damaged, or where the machine cannot
        hold it.
        """
        await asyncio.to_thread(self._check_file)
        await self._open()
        self._watch = asyncio.create_task(self._revive(), name="llama watch")

    async def close(self) -> None:
        """End the process; replies in hand are cut off. Safe to call twice."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        await self._end()
        self._address = None

    async def _open(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            str(_CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Ctrl-C is for the process that owns this one; it then closes this one.
            start_new_session=True,
        )
        self._process = process
        self._stderr = asyncio.create_task(self._listen(process), name="llama stderr")
        try:
            async with asyncio.timeout(self._start_seconds):
                self._address = await self._greet(process)
                await self._until_ready(self._address)
        except TimeoutError as error:
            await self._end()
            raise WeightsError(
                f"the local model {self._model.name} was not ready after "
                f"{self._start_seconds:.0f} s: the machine is too slow or too busy; use a remote "
                "model (COUNTERPOINT_MODEL_URL)"
            ) from error
        except BaseException:
            await self._end()
            raise

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), _STOP_SECONDS)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if self._stderr is not None:
            await self._stderr
            self._stderr = None

    async def _revive(self) -> None:
        """Start the process again whenever it ends by itself, ever more slowly."""
        pause = _REVIVE_SECONDS
        while self._process is not None:
            process, began = self._process, time.monotonic()
            code = await process.wait()
            logger.error("the local model's process ended by itself (%s); starting again", code)
            await self._end()
            if time.monotonic() - began > _STEADY_SECONDS:
                pause = _REVIVE_SECONDS
            pause = await self._again(pause)

    async def _again(self, pause: float) -> float:
        """Start until it starts; returns how long to wait before the next start."""
        while True:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _STEADY_SECONDS)
            try:
                await self._open()
            except (WeightsError, OSError):
                # Where memory is short, no process can be started at all for a while.
                logger.exception("the local model does not start again")
            else:
                return pause

    def _check_file(self) -> None:
        pull = "run `counterpoint models pull`"
        try:
            with self._model.open("rb") as file:
                magic = file.read(len(_MAGIC))
        except FileNotFoundError as error:
            raise WeightsError(f"the model file {self._model} is not there: {pull}") from error
        except OSError as error:
            raise WeightsError(
                f"the model file {self._model} cannot be read ({error.strerror}): check its "
                "permissions"
            ) from error
        if magic != _MAGIC:
            raise WeightsError(
                f"the model file {self._model} is damaged or not GGUF: delete it and {pull}"
            )

    async def _greet(self, process: asyncio.subprocess.Process) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        order = {
            "model": str(self._model),
            "alias": self._name,
            "host": self._host,
            "port": self._port or (urlsplit(self._address).port if self._address else 0),
            "api_key": self._api_key,
            "context": self._context,
            "slots": self._slots,
            "threads": self._threads,
            "prompt_cache_mib": self._prompt_cache_mib,
            "verbosity": 4 if self._debug else 1,
        }
        process.stdin.write(json.dumps(order).encode() + b"\n")
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            await process.stdin.drain()
        line = await process.stdout.readline()
        answer: dict[str, str] = json.loads(line) if line else {}
        if "address" in answer:
            return answer["address"]
        code = await process.wait()
        if self._stderr is not None:
            await self._stderr
        raise WeightsError(self._why(code, answer.get("error", "")))

    def _why(self, code: int, error: str) -> str:
        name = self._model.name
        if "libgomp" in error:
            return (
                "the local model needs the system library libgomp.so.1: install it "
                "(Debian: `apt-get install libgomp1`, Fedora: `dnf install libgomp`)"
            )
        if code == -signal.SIGKILL:
            return (
                f"the system ended the local model {name} while it loaded, most likely for lack "
                "of memory: free some, or use a remote model (COUNTERPOINT_MODEL_URL)"
            )
        reason = next((line for line in self._last_words if "error" in line.lower()), "")
        return (
            f"the local model {self._model} cannot be loaded"
            f"{f' ({reason})' if reason else ''}: it is damaged or the memory is too small; "
            "delete it and run `counterpoint models pull`"
        )

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while True:
            try:
                line = await process.stderr.readline()
            except ValueError:  # a line longer than the stream's limit
                continue
            if not line:
                return
            text = line.decode(errors="replace").strip()
            self._last_words.append(text)
            logger.debug("llama.cpp: %s", text)

    async def _until_ready(self, address: str) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
            while True:
                with contextlib.suppress(httpx.TransportError):
                    response = await client.get(f"{address}/health")
                    if response.status_code == httpx.codes.OK:
                        return
                await asyncio.sleep(0.05)
