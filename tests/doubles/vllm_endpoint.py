"""An endpoint that tells its load as vLLM does, waits when told to, goes down and comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Self

from tests.doubles.openai_endpoint import Behaviour, OpenAIEndpoint, Request, Says, _send


@dataclass(kw_only=True)
class Load:
    """What it tells under ``/metrics``."""

    running: int = 0
    waiting: int = 0
    kv_cache: float = 0.0

    def text(self) -> str:
        label = '{engine="0",model_name="some-model"}'
        return (
            "# TYPE vllm:num_requests_running gauge\n"
            f"vllm:num_requests_running{label} {self.running:.1f}\n"
            "# TYPE vllm:num_requests_waiting gauge\n"
            f"vllm:num_requests_waiting{label} {self.waiting:.1f}\n"
            "# TYPE vllm:kv_cache_usage_perc gauge\n"
            f"vllm:kv_cache_usage_perc{label} {self.kv_cache}\n"
        )


class VLLMEndpoint(OpenAIEndpoint):
    """``load`` None has no figures; ``always`` is what it says where nothing is scripted.

    ``held`` keeps replies back until it is set; ``arrived`` gets each request for a completion,
    ``looked`` counts who asked for the figures.
    """

    def __init__(self, *, load: Load | None = None, always: Behaviour | None = None) -> None:
        super().__init__()
        self.load = load
        self.always = always
        self.held = asyncio.Event()
        self.held.set()
        self.arrived: asyncio.Queue[Request] = asyncio.Queue()
        self.looked = asyncio.Semaphore(0)

    async def up(self) -> Self:
        """Listen, where it was before."""
        port = getattr(self, "port", 0)
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def down(self) -> None:
        """Refuse connections."""
        self._server.close()

    async def _reply(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.path == "/metrics":
            if self.load is None:
                await _send(writer, 404, "{}")
            else:
                await _send(writer, 200, self.load.text(), content_type="text/plain")
            self.looked.release()
            return
        self.arrived.put_nowait(request)
        await self.held.wait()
        if not self._script and self.always is not None:
            self.will(self.always)
        await super()._reply(request, writer)


def saying(text: str, *, load: Load | None = None) -> VLLMEndpoint:
    """One that always says the same."""
    return VLLMEndpoint(load=load, always=Says(text=text))
