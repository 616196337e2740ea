"""What a model wrote, as LangChain's messages and chunks. Pure: no IO."""

from __future__ import annotations

from typing import Any

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from models.pieces import Piece, Usage, Written, WrittenCall


def chunk(piece: Piece) -> ChatGenerationChunk | None:
    """A piece as a chunk without its usage; None where it says nothing."""
    if not (piece.text or piece.reasoning or piece.calls or piece.finish or piece.about):
        return None
    beside = _beside(piece.reasoning, refusal=(piece.about or {}).get("refusal"))
    message = AIMessageChunk(content=piece.text, additional_kwargs=beside)
    if piece.calls:
        message = AIMessageChunk(
            content=piece.text,
            additional_kwargs=beside,
            tool_call_chunks=[
                # Absent is None to LangChain: it joins what is text.
                tool_call_chunk(
                    name=call.name or None, args=call.args, id=call.id or None, index=call.number
                )
                for call in piece.calls
            ],
        )
    info = {name: value for name, value in (piece.about or {}).items() if name != "refusal"}
    if piece.finish:
        info["finish_reason"] = piece.finish
    return ChatGenerationChunk(message=message, generation_info=info or None)


def last_chunk(usage: Usage | None) -> ChatGenerationChunk:
    """The chunk that closes a stream, with the usage where the provider told it."""
    message = AIMessageChunk(
        content="", chunk_position="last", usage_metadata=usage_metadata(usage) if usage else None
    )
    return ChatGenerationChunk(message=message)


def result(written: Written) -> ChatResult:
    """A whole reply; tool calls whose arguments are no JSON object are told apart."""
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for call in written.calls:
        _sort(call, calls, broken)
    info = {name: value for name, value in written.about.items() if name != "refusal"}
    info["finish_reason"] = written.finish
    message = AIMessage(
        written.text,
        additional_kwargs=_beside(written.reasoning, refusal=written.about.get("refusal")),
        tool_calls=calls,
        invalid_tool_calls=broken,
        usage_metadata=usage_metadata(written.usage) if written.usage else None,
        response_metadata=info,
    )
    return ChatResult(generations=[ChatGeneration(message=message, generation_info=info)])


def usage_metadata(usage: Usage) -> UsageMetadata:
    """The provider's counts in LangChain's names."""
    details = usage.details or {}
    read, wrote = (details.get(f"{side}_tokens_details") or {} for side in ("prompt", "completion"))
    metadata = UsageMetadata(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        total_tokens=usage.input_tokens + usage.output_tokens,
    )
    if into := _numbers(audio=read.get("audio_tokens"), cache_read=read.get("cached_tokens")):
        metadata["input_token_details"] = InputTokenDetails(**into)  # type: ignore[typeddict-item]
    if out := _numbers(audio=wrote.get("audio_tokens"), reasoning=wrote.get("reasoning_tokens")):
        metadata["output_token_details"] = OutputTokenDetails(**out)  # type: ignore[typeddict-item]
    return metadata


def _numbers(**values: Any) -> dict[str, int]:
    return {name: value for name, value in values.items() if isinstance(value, int)}


def _beside(reasoning: str, *, refusal: str | None) -> dict[str, Any]:
    """``reasoning_content`` is where LangChain looks for it, and makes a content block of it."""
    beside: dict[str, Any] = {"reasoning_content": reasoning} if reasoning else {}
    return {**beside, "refusal": refusal} if refusal else beside


def _sort(call: WrittenCall, calls: list[ToolCall], broken: list[InvalidToolCall]) -> None:
    identity = call.id or None
    try:
        args = orjson.loads(call.args or "{}")
    except ValueError as error:
        problem = str(error)
    else:
        if isinstance(args, dict):
            calls.append(ToolCall(name=call.name, args=args, id=identity, type="tool_call"))
            return
        problem = "no JSON object"
    broken.append(
        InvalidToolCall(
            name=call.name, args=call.args, id=identity, error=problem, type="invalid_tool_call"
        )
    )
