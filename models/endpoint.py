"""One attempt at an OpenAI-compatible endpoint, through langchain-openai.

The seam to the provider: what stands above knows a ``BaseChatModel`` that streams and raises
``ModelError``, so that another client can take this one's place.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import openai
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import SecretStr

from models.errors import (
    BadKey,
    ContextTooLong,
    ModelError,
    ModelFailed,
    ModelNotFound,
    ModelRefused,
    ModelTimeout,
    ModelUnreachable,
    RateLimited,
    StreamCut,
)
from models.registry import ModelSpec, is_private

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
_CONTEXT_WORDS = ("context length", "context size", "context window", "context_length", "too long")


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
            name = "max_completion_tokens" if _is_openai(self.spec.url) else "max_tokens"
            extra[name] = limit
        payload["extra_body"] = extra
        return payload

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
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
            raise _unreadable(self.spec) from error
        if not finished:
            raise _cut(self.spec)

    async def aclose(self) -> None:
        await self.root_async_client.close()


def connect(spec: ModelSpec) -> Endpoint:
    """A client of the model's endpoint; close it with ``aclose``."""
    timeout = openai.Timeout(spec.timeout, connect=min(_CONNECT_SECONDS, spec.timeout))
    http = DefaultAsyncHttpxClient(
        timeout=timeout,
        event_hooks={"request": [_Headers(spec.key)]},
        # A company's proxy is for the world outside, never for a model in the house.
        trust_env=not is_private(spec.url),
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
            return unreachable(spec, "does not answer")
        return timed_out(spec)
    if isinstance(error, openai.APIConnectionError):
        if not arrived and _caused_by(error, "ConnectError"):
            return unreachable(spec, "refuses connections")
        return _cut(spec)
    if isinstance(error, openai.APIStatusError):
        return _for_status(spec, error)
    detail = _detail(spec, error)
    if _is_about_context(detail):
        return _too_long(spec, detail)
    return ModelFailed(f"model '{spec.name}' failed while it replied: {detail}", model=spec.name)


def _caused_by(error: BaseException | None, name: str) -> bool:
    """Whether an exception of that class stands in the chain; by name, since openai has used
    more than one HTTP library."""
    while error is not None:
        if type(error).__name__ == name:
            return True
        error = error.__cause__
    return False


def _for_status(spec: ModelSpec, error: openai.APIStatusError) -> ModelError:
    status, name = error.status_code, spec.name
    detail = _detail(spec, error)
    if status in (401, 403):
        return BadKey(
            f"the key for model '{name}' was refused ({status}); set COUNTERPOINT_MODEL_KEY",
            model=name,
        )
    if status == 404:
        return ModelNotFound(
            f"no model '{spec.model}' at {spec.url} (404); set COUNTERPOINT_MODEL to one that "
            "it serves, and COUNTERPOINT_MODEL_URL to its full base URL (mostly ending in /v1)",
            model=name,
        )
    if status == 429:
        return _rate_limited(spec, error)
    if status == 408:
        return timed_out(spec)
    if status >= 500:
        return ModelFailed(f"model '{name}' at {spec.url} failed ({status}): {detail}", model=name)
    if status == 413 or _is_about_context(detail):
        return _too_long(spec, detail)
    return ModelRefused(f"model '{name}' refused the request ({status}): {detail}", model=name)


def _rate_limited(spec: ModelSpec, error: openai.APIStatusError) -> RateLimited:
    exhausted = error.code == "insufficient_quota"
    try:
        after: float | None = max(0.0, float(error.response.headers["retry-after"]))
    except (KeyError, ValueError):
        after = None
    if exhausted:
        remedy = "its quota is spent; raise it at the provider or choose another model"
    else:
        remedy = f"try again in {after:g} s" if after is not None else "try again later"
    return RateLimited(
        f"model '{spec.name}' is rate-limited (429): {remedy}",
        model=spec.name,
        retry_after=after,
        exhausted=exhausted,
    )


def unreachable(spec: ModelSpec, how: str) -> ModelUnreachable:
    remedy = "start it again" if spec.local else "start it or set COUNTERPOINT_MODEL_URL"
    return ModelUnreachable(f"model URL {spec.url} {how}; {remedy}", model=spec.name)


def timed_out(spec: ModelSpec) -> ModelTimeout:
    return ModelTimeout(
        f"model '{spec.name}' gave no complete reply within {spec.timeout:g} s; "
        "raise its timeout or choose a faster model",
        model=spec.name,
    )


def _cut(spec: ModelSpec) -> StreamCut:
    return StreamCut(
        f"model '{spec.name}' at {spec.url} ended the connection before its reply was complete; "
        "see the server's log",
        model=spec.name,
    )


def _unreadable(spec: ModelSpec) -> ModelFailed:
    return ModelFailed(
        f"model '{spec.name}' at {spec.url} sent what is no OpenAI-compatible reply; "
        "check COUNTERPOINT_MODEL_URL",
        model=spec.name,
    )


def _too_long(spec: ModelSpec, detail: str) -> ContextTooLong:
    return ContextTooLong(
        f"the prompt does not fit the context of model '{spec.name}': {detail}", model=spec.name
    )


def _is_about_context(detail: str) -> bool:
    return any(words in detail.lower() for words in _CONTEXT_WORDS)


def _is_openai(url: str) -> bool:
    return "://api.openai.com" in url


def _detail(spec: ModelSpec, error: openai.APIError) -> str:
    """The provider's own short message, without the key, on one line."""
    body = error.body
    said = body.get("message") if isinstance(body, Mapping) else None
    text = " ".join(str(said or error.message).split())
    if spec.key and (key := spec.key.get_secret_value()):
        text = text.replace(key, "***")
    return text[:200]
