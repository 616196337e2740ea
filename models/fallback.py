"""A chat model whose place others take, one after the other, where it is out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage

from models.attempts import AttemptGate, OpenGate, Tally
from models.breaker import kind_of
from models.chat import ChatModel, Reply, ToolChoice
from models.errors import ModelError, ModelsOut
from models.hearing import Hear
from models.priorities import Workload, serving
from models.schema import Answer

_log = logging.getLogger(__name__)


class FallbackModel:
    """The first of ``models`` that answers. The reply and the gate say which that was.

    Another one is asked where a model cannot be reached, fails, gives no reply in time, or has no
    room for the call; not where it refuses what it was asked. Closing it closes none of them.
    ``answered`` counts the replies of each but the first.
    """

    def __init__(
        self, models: Sequence[ChatModel], *, answered: Counter[str] | None = None
    ) -> None:
        self._models = tuple(models)
        self.answered: Counter[str] = Counter() if answered is None else answered

    @property
    def name(self) -> str:
        return self._models[0].name

    @property
    def plain(self) -> bool:
        return self._models[0].plain

    def serving(self, workload: Workload) -> FallbackModel:
        return FallbackModel(
            [serving(model, workload) for model in self._models], answered=self.answered
        )

    async def aclose(self) -> None:
        return

    async def call(
        self,
        messages: Sequence[BaseMessage],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        answer: Answer | None = None,
        tool_choice: ToolChoice = "auto",
        max_tokens: int | None = None,
        temperature: float | None = None,
        thought: bool = False,
        gate: AttemptGate | None = None,
        agent: str = "",
        heard: Hear | None = None,
    ) -> Reply:
        """As ``ChatModel.call``. Raises ModelsOut where none answers."""
        tally = Tally(gate or OpenGate())
        started = time.monotonic()
        failed: list[ModelError] = []
        for model in self._models:
            try:
                reply = await model.call(
                    messages,
                    tools=tools,
                    answer=answer,
                    tool_choice=tool_choice,
                    max_tokens=max_tokens,
                    temperature=temperature,
                    thought=thought,
                    gate=tally,
                    agent=agent,
                    heard=heard,
                )
            except ModelError as error:
                # What the first one refuses was wrongly asked; a fallback may merely be smaller.
                if not failed and kind_of(error) is None:
                    raise
                failed.append(error)
                continue
            if not failed:
                return reply
            self.answered[model.name] += 1
            _log.warning("model %s answers for %s: %s", model.name, self.name, failed[0])
            return replace(
                reply,
                usage=tally.usage,
                cost=tally.cost,
                attempts=tally.attempts,
                seconds=time.monotonic() - started,
            )
        raise ModelsOut(
            "no model answers: " + "; ".join(str(error) for error in failed), model=self.name
        ) from failed[0]
