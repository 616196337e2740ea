"""Any of our chat models with LangChain's interface, for graphs that users bring along."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict

from models.chat import Reply


class LangChainModel(BaseChatModel):
    """Async only. ``model`` is a ``ChatModel``, ``gate`` what its attempts pass.

    A reply comes as one piece, when it is known to be valid: a retry must not repeat text.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    model: Any
    gate: Any = None
    agent: str = ""
    max_tokens: int | None = None

    @property
    def _llm_type(self) -> str:
        return "counterpoint"

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
        if stop:
            raise ValueError("stop words are not supported: a step ends by itself")
        reply: Reply = await self.model.call(
            messages,
            tools=kwargs.get("tools", ()),
            answer=kwargs.get("answer"),
            tool_choice=kwargs.get("tool_choice", "auto"),
            max_tokens=kwargs.get("max_tokens", self.max_tokens),
            temperature=kwargs.get("temperature"),
            thought=kwargs.get("thought", False),
            gate=self.gate,
            agent=self.agent,
        )
        return ChatResult(generations=[ChatGeneration(message=reply.message)])

    def bind_tools(
        self,
        tools: Sequence[builtins.dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """``tool_choice``: auto, none, any or required, or the name of the one tool to call."""
        known = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice in (None, False, "auto"):
            return self.bind(tools=known, tool_choice="auto", **kwargs)
        if tool_choice == "none":
            return self.bind(**kwargs)
        if tool_choice not in (True, "any", "required"):
            known = [tool for tool in known if tool["function"]["name"] == tool_choice]
            if not known:
                raise ValueError(f"tool_choice names no bound tool: {tool_choice}")
        return self.bind(tools=known, tool_choice="required", **kwargs)

    def with_structured_output(
        self,
        schema: builtins.dict[str, Any] | type,
        *,
        include_raw: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, builtins.dict[str, Any] | BaseModel]:
        """A pydantic model or a JSON schema; the reply is one of it, or a plain object."""

        async def parse(message: AIMessage) -> Any:
            parsed = _parsed(message, schema)
            if include_raw:
                return {"raw": message, "parsed": parsed, "parsing_error": None}
            return parsed

        return self.bind(answer=schema, **kwargs) | RunnableLambda(parse)


def _parsed(message: AIMessage, schema: builtins.dict[str, Any] | type) -> Any:
    text = str(message.text)
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return schema.model_validate_json(text)
    return orjson.loads(text)
