"""What LangChain's callbacks tell of a user's graph at work, for its run's trace."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langgraph.constants import TAG_HIDDEN
from langgraph.errors import GraphBubbleUp

from server.spending import tokens_of
from server.telemetry import names
from server.telemetry.inner import Began, Ended, Said
from server.telemetry.plain_names import plain_id
from server.telemetry.span import Value

_STEP = "graph:step:"
"""LangGraph's own tag of what is a node, and not something that a node calls."""
_MODEL = re.compile(r"[\w./:@-]{1,96}", re.ASCII)

Tell = Callable[[Began | Ended, float], None]


class GraphCallbacks(BaseCallbackHandler):
    """Tells of nodes, and of calls of models, tools and retrievers; chains are only passed through.

    Not async, so that it costs an async graph no more than a call; nodes that are not async run in
    other threads, and what is heard there is told in the loop's own.
    """

    run_inline = True
    ignore_custom_event = True
    ignore_retry = True

    def __init__(self, tell: Tell) -> None:
        self._tell_of = tell
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        # Which span each run of LangChain's is part of, or is itself.
        self._within: dict[UUID, UUID | None] = {}

    # Nodes

    def on_chain_start(
        self,
        serialized: dict[str, Any],
        inputs: Any,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        del serialized, inputs
        name, told = str(kwargs.get("name") or ""), metadata or {}
        is_node = told.get("langgraph_node") == name and _is_step(tags or ())
        if not is_node:
            self._within[run_id] = self._place(parent_run_id)
            return
        of = plain_id(name)
        attributes: dict[str, Value] = {names.NODE: of}
        if isinstance(step := told.get("langgraph_step"), int):
            attributes[names.STEP_NUMBER] = step
        self._begin(run_id, parent_run_id, names.NODE_SPAN.format(of), attributes)

    def on_chain_end(self, outputs: Any, *, run_id: UUID, **_: Any) -> None:
        del outputs
        self._end(run_id)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._fail(run_id, error)

    # Models

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: Sequence[Sequence[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        del messages
        told = {**kwargs, "serialized": serialized}
        self._model(names.CHAT, "chat", run_id, parent_run_id, metadata or {}, told)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        del prompts
        of, told = "text_completion", {**kwargs, "serialized": serialized}
        self._model(names.COMPLETION, of, run_id, parent_run_id, metadata or {}, told)

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        tokens_in, tokens_out = tokens_of(response)
        told: dict[str, Value] = {}
        if tokens_in or tokens_out:
            told |= {names.INPUT_TOKENS: tokens_in, names.OUTPUT_TOKENS: tokens_out}
        said = _metadata_of(response)
        if reason := said.get("finish_reason") or said.get("stop_reason"):
            told[names.FINISH_REASONS] = [plain_id(str(reason))]
        if model := said.get("model_name") or said.get("model"):
            told[names.RESPONSE_MODEL] = _model_name(model)
        self._end(run_id, told)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._fail(run_id, error)

    def _model(
        self,
        name: str,
        operation: str,
        run_id: UUID,
        parent: UUID | None,
        metadata: Mapping[str, Any],
        told: Mapping[str, Any],
    ) -> None:
        asked = told.get("invocation_params") or {}
        model = metadata.get("ls_model_name") or asked.get("model") or asked.get("model_name")
        # A model that says no name, such as a fake one, has its class's.
        of = _model_name(model or (told.get("serialized") or {}).get("name") or names.UNKNOWN)
        attributes: dict[str, Value] = {names.OPERATION: operation, names.MODEL: of}
        if provider := metadata.get("ls_provider"):
            attributes[names.PROVIDER] = plain_id(str(provider))
        self._begin(run_id, parent, name.format(of), attributes, kind="client")

    # Tools and retrievers

    def on_tool_start(
        self,
        serialized: dict[str, Any],
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        of = plain_id(str(kwargs.get("name") or (serialized or {}).get("name") or names.UNKNOWN))
        attributes: dict[str, Value] = {names.OPERATION: "execute_tool", names.TOOL: of}
        if call_id := kwargs.get("tool_call_id"):
            attributes[names.TOOL_CALL] = plain_id(str(call_id))
        said = (names.ARGUMENTS, inputs or input_str)
        name = names.EXECUTE_TOOL.format(of)
        self._begin(run_id, parent_run_id, name, attributes, said=said)

    def on_tool_end(self, output: Any, *, run_id: UUID, **_: Any) -> None:
        failed = isinstance(output, ToolMessage) and output.status == "error"
        said = output.content if isinstance(output, BaseMessage) else output
        self._end(run_id, error="tool_error" if failed else "", said=(names.RESULT, said))

    def on_tool_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._fail(run_id, error)

    def on_retriever_start(
        self,
        serialized: dict[str, Any],
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **_: Any,
    ) -> None:
        del serialized
        attributes: dict[str, Value] = {names.OPERATION: "retrieval"}
        said = (names.QUERY, query)
        self._begin(run_id, parent_run_id, names.RETRIEVAL, attributes, said=said)

    def on_retriever_end(self, documents: Any, *, run_id: UUID, **_: Any) -> None:
        self._end(run_id, {names.HITS: len(documents)})

    def on_retriever_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        self._fail(run_id, error)

    # How it is told

    def _place(self, parent: UUID | None) -> UUID | None:
        return self._within.get(parent) if parent is not None else None

    def _begin(
        self,
        run_id: UUID,
        parent: UUID | None,
        name: str,
        attributes: Mapping[str, Value],
        *,
        kind: str = "internal",
        said: Said = ("", None),
    ) -> None:
        within = self._place(parent)
        self._within[run_id] = run_id
        self._tell(
            Began(key=run_id, within=within, name=name, kind=kind, attributes=attributes, said=said)
        )

    def _end(
        self,
        run_id: UUID,
        attributes: Mapping[str, Value] | None = None,
        *,
        error: str = "",
        said: Said = ("", None),
    ) -> None:
        if self._within.pop(run_id, None) == run_id:
            told = attributes or {}
            self._tell(Ended(key=run_id, error=error, attributes=told, said=said))

    def _fail(self, run_id: UUID, error: BaseException) -> None:
        if isinstance(error, GraphBubbleUp):
            # It waits for a person, or hands over to the graph around it.
            self._end(run_id, {names.STOP_REASON: "interrupted"})
            return
        self._end(run_id, error=plain_id(type(error).__name__), said=(names.MESSAGE, str(error)))

    def _tell(self, event: Began | Ended) -> None:
        at = time.time()
        if threading.get_ident() == self._thread:
            self._tell_of(event, at)
        else:
            self._loop.call_soon_threadsafe(self._tell_of, event, at)


def _is_step(tags: Sequence[str]) -> bool:
    return TAG_HIDDEN not in tags and any(one.startswith(_STEP) for one in tags)


def _metadata_of(response: LLMResult) -> Mapping[str, Any]:
    """What the provider said of a reply beside its text."""
    for one in (one for some in response.generations for one in some):
        if isinstance(one, ChatGeneration) and isinstance(one.message, AIMessage):
            return one.message.response_metadata
    return response.llm_output or {}


def _model_name(told: object) -> str:
    name = str(told)
    return name if _MODEL.fullmatch(name) else names.UNKNOWN
