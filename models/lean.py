"""Our client for OpenAI-compatible endpoints: a chat model of LangChain's on aiohttp and orjson.

The seam to the provider. ``pieces`` is the stream itself, which costs a twentieth of LangChain's
``astream``; the rest is what users' graphs expect of a ``BaseChatModel``.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import BaseModel, ConfigDict, PrivateAttr

from models import lean_messages, structured
from models.openai_messages import to_openai
from models.openai_stream import OpenAIStream
from models.pieces import Piece, Written
from models.registry import ModelSpec

Method = Literal["json_schema", "json_mode", "function_calling"]
_NOT_FOR_THE_WIRE = ("stream", "stream_usage", "extra_body")


def connect(spec: ModelSpec) -> LeanChat:
    """A client of the model's endpoint; close it with ``aclose``."""
    return LeanChat(spec=spec)


class LeanChat(BaseChatModel):
    """Async only. Raises ``ModelError``; tries nothing again but a connection gone stale.

    Options of a call are OpenAI's (``temperature``, ``max_tokens``, ``stop``, ``logprobs``, ...);
    ``n`` can only be 1. What the spec says is the default.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    spec: ModelSpec
    stream_usage: bool = True
    _wire: OpenAIStream = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        super().model_post_init(context)
        self._wire = OpenAIStream(self.spec)

    async def aclose(self) -> None:
        await self._wire.aclose()

    def pieces(
        self, messages: Sequence[BaseMessage], /, **options: Any
    ) -> AsyncGenerator[Piece, None]:
        """The reply as it comes, without LangChain's callbacks."""
        return self._wire.pieces(self._body(messages, options))

    def bind_tools(
        self,
        tools: Sequence[builtins.dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | builtins.dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """``tool_choice``: auto, none, any or required, or the name of the one tool to call."""
        known = structured.tools(tools, strict=strict)
        choice = structured.choice(tool_choice, known=known)
        if choice is not None:
            kwargs["tool_choice"] = choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        return self.bind(tools=known, **kwargs)

    def with_structured_output(
        self,
        schema: builtins.dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Method = "json_schema",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, builtins.dict[str, Any] | BaseModel]:
        """A pydantic model, a TypedDict or a JSON schema; the reply is one of it.

        ``json_schema`` has the server hold the model to it, ``json_mode`` only to JSON;
        ``function_calling`` makes it the arguments of a tool.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        form = (
            {"type": "json_object"}
            if method == "json_mode"
            else structured.response_format(schema, strict=strict)
        )
        traced = {"kwargs": {"method": method}, "schema": schema}
        bound = self.bind(response_format=form, ls_structured_output_format=traced, **kwargs)
        return structured.parsing(bound, schema, include_raw=include_raw)

    @property
    def _llm_type(self) -> str:
        return "openai-compatible"

    @property
    def _identifying_params(self) -> builtins.dict[str, Any]:
        return {"model": self.spec.model, "url": self.spec.place}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        given = {
            "model": self.spec.model,
            "temperature": self.spec.temperature,
            "max_tokens": self.spec.max_output,
        }
        params = super()._get_ls_params(stop=stop, **{**given, **kwargs})
        params["ls_provider"] = "openai-compatible"
        return params

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("this model is async only: use ainvoke or astream")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        written = Written()
        async for piece in self.pieces(messages, stop=stop, **kwargs):
            written.add(piece)
        return lean_messages.result(written)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        usage = None
        async for piece in self.pieces(messages, stop=stop, **kwargs):
            # Counted once, at the end: LangChain adds up what each chunk says.
            usage = piece.usage or usage
            if (chunk := lean_messages.chunk(piece)) is not None:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk
        yield lean_messages.last_chunk(usage)

    def _body(
        self, messages: Sequence[BaseMessage], options: builtins.dict[str, Any]
    ) -> builtins.dict[str, Any]:
        if options.get("n") not in (None, 1):
            raise ValueError("n: a streamed reply is one; ask again for another")
        spec = self.spec
        body: dict[str, Any] = {
            "model": spec.model,
            "messages": to_openai(messages),
            "stream": True,
            "temperature": spec.temperature,
        }
        limit = spec.max_output
        for name, value in options.items():
            if name in ("max_tokens", "max_completion_tokens"):
                limit = value or limit
            elif value is not None and name not in _NOT_FOR_THE_WIRE:
                body[name] = value
        if body["temperature"] is None:
            del body["temperature"]
        usage = options.get("stream_usage")
        if self.stream_usage if usage is None else usage:
            body.setdefault("stream_options", {"include_usage": True})
        form = body.get("response_format")
        body.update(spec.extra_body)
        body.update(options.get("extra_body") or {})
        if form is not None:
            body["response_format"] = form
        # Only OpenAI itself has dropped the old name; others do not know the new one.
        named = "max_completion_tokens" if "://api.openai.com" in spec.url else "max_tokens"
        body[named] = limit
        return body
