"""Tools and schemas in OpenAI's form, and replies read back into them. Pure: no IO."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.runnables import Runnable, RunnableLambda
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_function, convert_to_openai_tool
from pydantic import BaseModel


def tools(
    given: Sequence[Mapping[str, Any] | type | Callable[..., Any] | BaseTool],
    *,
    strict: bool | None = None,
) -> list[dict[str, Any]]:
    """Tools of any kind that LangChain knows, in OpenAI's function format."""
    return [convert_to_openai_tool(tool, strict=strict) for tool in given]


def choice(asked: Any, *, known: Sequence[Mapping[str, Any]]) -> Any:
    """LangChain's ``tool_choice`` in OpenAI's form; raises ``ValueError`` on an unknown tool."""
    if asked is None or asked is False or isinstance(asked, Mapping):
        return asked or None
    if asked is True or asked == "any":
        return "required"
    if asked in ("auto", "none", "required"):
        return asked
    if asked not in {tool["function"]["name"] for tool in known if "function" in tool}:
        raise ValueError(f"tool_choice names no bound tool: {asked}")
    return {"type": "function", "function": {"name": asked}}


def response_format(
    schema: Mapping[str, Any] | type, *, strict: bool | None = None
) -> dict[str, Any]:
    """A schema as ``response_format`` of type ``json_schema``."""
    if isinstance(schema, Mapping) and schema.get("type") == "json_schema":
        return dict(schema)
    function = convert_to_openai_function(schema, strict=strict)
    form = {"name": function["name"], "schema": function["parameters"]}
    if function.get("description"):
        form["description"] = function["description"]
    if strict is not None:
        form["strict"] = strict
    return {"type": "json_schema", "json_schema": form}


def parsing(
    model: Runnable[LanguageModelInput, AIMessage],
    schema: Mapping[str, Any] | type,
    *,
    include_raw: bool,
) -> Runnable[LanguageModelInput, Any]:
    """The model, with its replies read; ``include_raw``: beside the message, problems as data."""
    parser: PydanticOutputParser[Any] | JsonOutputParser
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        parser = PydanticOutputParser(pydantic_object=schema)
    else:
        parser = JsonOutputParser()
    if not include_raw:
        return model | parser

    async def both(message: AIMessage) -> dict[str, Any]:
        try:
            parsed = await parser.ainvoke(message)
        except ValueError as error:
            return {"raw": message, "parsed": None, "parsing_error": error}
        return {"raw": message, "parsed": parsed, "parsing_error": None}

    return model | RunnableLambda(both)
