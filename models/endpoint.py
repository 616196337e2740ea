"""The other client: one attempt at an OpenAI-compatible endpoint through langchain-openai.

For models whose ``client`` is ``openai``; ``models.lean`` serves all others.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import httpx
import openai
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import SecretStr

from models import failures, outside, written_json
from models.errors import ModelError
from models.pieces import CallPiece, Piece, Usage
from models.registry import ModelSpec

_CONNECT_SECONDS = 5.0
_HEADERS = {
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
}


class Endpoint(ChatOpenAI):
    """ChatOpenAI that takes nothing from the environment and says which model failed and how."""

    spec: ModelSpec

    def _get_request_payload(self, input_: Any, *, stop: Any = None, **kwargs: Any) -> Any:
        payload = super()._get_request_payload(input_, stop=stop, **kwargs)
        extra = {**(payload.get("extra_body") or {})}
        # As a named argument the openai package would parse the reply itself, and raise on a
        # reply that is cut at the token limit.
        if (form := payload.pop("response_format", None)) is not None:
            extra["response_format"] = form
        # Only OpenAI itself has dropped the old name; others do not know the new one.
        limit = payload.pop("max_completion_tokens", None)
        if limit is not None:
            name = "max_completion_tokens" if "://api.openai.com" in self.spec.url else "max_tokens"
            extra[name] = limit
        payload["extra_body"] = extra
        return payload

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        arrived = False
        finished = False
        try:
            async for chunk in super()._astream(messages, *args, **kwargs):
                arrived = True
                finished = finished or bool((chunk.generation_info or {}).get("finish_reason"))
                yield chunk
        except openai.APIError as error:
            raise error_for(self.spec, error, arrived=arrived) from error
        except (httpx.TransportError, ValueError, TypeError, KeyError) as error:
            raise failures.unreadable(self.spec) from error
        if not finished:
            raise failures.cut(self.spec)

    async def pieces(
        self, messages: Sequence[BaseMessage], /, **options: Any
    ) -> AsyncGenerator[Piece, None]:
        """The reply as it comes, without LangChain's callbacks."""
        async with aclosing(self._astream(list(messages), **options)) as stream:
            async for chunk in stream:
                yield _piece(chunk)

    async def aclose(self) -> None:
        await self.root_async_client.close()


def connect(spec: ModelSpec) -> Endpoint:
    """A client of the model's endpoint; close it with ``aclose``. Raises httpx.ProxyError."""
    timeout = openai.Timeout(spec.timeout, connect=min(_CONNECT_SECONDS, spec.timeout))
    http = DefaultAsyncHttpxClient(
        timeout=timeout,
        event_hooks={"request": [_Headers(spec.key)]},
        **outside.options(spec.url),
    )
    client = AsyncOpenAI(
        api_key=spec.key.get_secret_value() if spec.key else "none",
        base_url=spec.url,
        timeout=timeout,
        max_retries=0,
        http_client=http,
    )
    return Endpoint(
        spec=spec,
        model=spec.model,
        base_url=spec.url,
        api_key=SecretStr("none"),
        organization="",
        openai_proxy=None,
        client=client.chat.completions,
        async_client=client.chat.completions,
        root_client=client,
        root_async_client=client,
        max_retries=0,
        stream_usage=True,
        stream_chunk_timeout=0,
        use_responses_api=False,
        output_version="v0",
        extra_body=dict(spec.extra_body),
        disable_streaming=False,
    )


@dataclass(frozen=True)
class _Headers:
    """Sends the spec's key, and nothing that the openai package adds by itself: its statistics,
    and headers from OPENAI_* variables, which belong to another account than the key."""

    key: SecretStr | None

    async def __call__(self, request: Any) -> None:
        for name in set(request.headers) - _HEADERS:
            del request.headers[name]
        if self.key:
            request.headers["authorization"] = f"Bearer {self.key.get_secret_value()}"


def error_for(spec: ModelSpec, error: openai.APIError, *, arrived: bool) -> ModelError:
    """Our error for the openai package's; ``arrived``: a part of the reply had come."""
    if isinstance(error, openai.APITimeoutError):
        if _caused_by(error, "ConnectTimeout"):
            return failures.unreachable(spec, "does not answer")
        return failures.timed_out(spec)
    if isinstance(error, openai.APIConnectionError):
        if not arrived and _caused_by(error, "ConnectError"):
            return failures.unreachable(spec, "refuses connections")
        return failures.cut(spec)
    if isinstance(error, openai.APIStatusError):
        return failures.for_status(
            spec,
            error.status_code,
            said=_said(error),
            code=error.code,
            retry_after=error.response.headers.get("retry-after"),
        )
    return failures.within_reply(spec, _said(error))


def _piece(chunk: ChatGenerationChunk) -> Piece:
    message, info = chunk.message, dict(chunk.generation_info or {})
    assert isinstance(message, AIMessageChunk)
    used = message.usage_metadata
    return Piece(
        text=written_json.whole_text(str(message.text)),
        calls=[
            CallPiece(
                number=call["index"] or 0,
                id=call["id"] or "",
                name=call["name"] or "",
                args=call["args"] or "",
            )
            for call in message.tool_call_chunks
        ],
        finish=info.pop("finish_reason", None),
        usage=Usage(used["input_tokens"], used["output_tokens"]) if used else None,
        about=info or None,
    )


def _caused_by(error: BaseException | None, name: str) -> bool:
    """Whether an exception of that class stands in the chain; by name, since openai has used
    more than one HTTP library."""
    while error is not None:
        if type(error).__name__ == name:
            return True
        error = error.__cause__
    return False


def _said(error: openai.APIError) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, Mapping) else None
    return str(said or error.message)
