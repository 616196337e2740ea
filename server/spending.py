"""What a user's graph spends, as LangChain's callbacks tell it, and where that ends."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from graphs.context import Attempt
from guardrails.limits import Limit, LimitExceededError, Limits, Spent
from server.runs.ledger import RunLedger


class Spending(BaseCallbackHandler):
    """Counts what LangChain's models and tools say of themselves, and refuses what is too much.

    A call is counted before it is made: of branches that race for the last one, one gets it. Nodes
    that are not async run in threads, where LangChain swallows what a coroutine raises and runs it
    in a loop of its own: what refuses is none, and the ledger is written in the run's own loop.
    Retries inside a model's own client are not seen here. Tokens are known once a call is over, so
    a run may exceed their limit by its last calls.
    """

    raise_error = True
    run_inline = True
    ignore_agent = False
    ignore_chain = True
    ignore_retriever = True
    ignore_custom_event = True

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.before = Spent()
        self.ledger: RunLedger | None = None
        self._started = time.monotonic()
        self._here = Spent()
        self._counting = threading.Lock()
        self._loop = asyncio.get_running_loop()

    @property
    def spent(self) -> Spent:
        """All that the run has spent, with its earlier attempts."""
        return Spent(
            model_calls=self.before.model_calls + self._here.model_calls,
            tool_calls=self.before.tool_calls + self._here.tool_calls,
            input_tokens=self.before.input_tokens + self._here.input_tokens,
            output_tokens=self.before.output_tokens + self._here.output_tokens,
            seconds=self.before.seconds + time.monotonic() - self._started,
        )

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        """Raises LimitExceededError where the call would be one too many."""
        self._begin_model_call()

    def on_llm_start(self, *_: Any, **__: Any) -> None:
        """As for a chat model."""
        self._begin_model_call()

    def on_tool_start(self, *_: Any, **__: Any) -> None:
        """Raises LimitExceededError where the call would be one too many."""
        with self._counting:
            self._check(Limit.TOOL_CALLS, wanted=1)
            self._here = replace(self._here, tool_calls=self._here.tool_calls + 1)

    async def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Raises RedisError and FencedError: a graph that cannot be counted may not go on."""
        tokens_in, tokens_out = tokens_of(response)
        used = Attempt(input_tokens=tokens_in, output_tokens=tokens_out, cost=0.0)
        with self._counting:
            self._here = replace(
                self._here,
                input_tokens=self._here.input_tokens + used.input_tokens,
                output_tokens=self._here.output_tokens + used.output_tokens,
            )
        if self.ledger is None:
            return
        writing = self._write(self.ledger, used)
        if asyncio.get_running_loop() is self._loop:
            await writing
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(writing, self._loop))

    async def _write(self, ledger: RunLedger, used: Attempt) -> None:
        attempt_id = await ledger.reserve(used, spent=self.spent)
        await ledger.settle(attempt_id, used, used, spent=self.spent)

    def _begin_model_call(self) -> None:
        with self._counting:
            self._check(Limit.TOKENS, wanted=1)
            self._check(Limit.MODEL_CALLS, wanted=1)
            self._here = replace(self._here, model_calls=self._here.model_calls + 1)

    def _check(self, limit: Limit, *, wanted: int) -> None:
        most, used = self.limits.maxima.get(limit), self.spent.of(limit)
        if most is not None and used + wanted > most:
            raise LimitExceededError(limit, used=used, maximum=most)


def tokens_of(response: LLMResult) -> tuple[int, int]:
    """Tokens in and out that a model says it has used; none where it does not say."""
    tokens_in = tokens_out = 0
    for generation in (one for some in response.generations for one in some):
        message = generation.message if isinstance(generation, ChatGeneration) else None
        usage = message.usage_metadata if isinstance(message, AIMessage) else None
        if usage:
            tokens_in += usage["input_tokens"]
            tokens_out += usage["output_tokens"]
    return tokens_in, tokens_out
