"""Tools in the provider's own way, for models that call them; arguments are read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, BaseMessage, ToolCall

from models import constrained, written_json
from models.dialect import Malformed, Read, Request
from models.hearing import Listener, all_of, reasoning_of
from models.pieces import Written
from models.schema import ANSWER, Step, problem_with_answer

_CUT = "it was cut off at the length limit; write it whole, in fewer words"

_AS_TEXT = re.compile(r"\s*(?:<\|?tool_?calls?\|?>|\[TOOL_CALLS\]|```\w*\s)?\s*[\[{]")


class Native:
    """A typed answer is one more tool, since not every endpoint combines tools and schemas.

    With ``reads_text`` a call that its server has left in the text is one as well.
    """

    def __init__(self, *, reads_text: bool = True) -> None:
        self._reads_text = reads_text

    def request(self, messages: Sequence[BaseMessage], step: Step) -> Request:
        if step.plain:
            return Request(messages=list(messages))
        tools = [dict(tool) for tool in step.tools]
        choice: Any = "required" if step.must_call or step.answer is not None else "auto"
        if step.answer_schema is not None:
            function = {
                "name": ANSWER,
                "description": "Gives the final answer.",
                "parameters": step.answer_schema,
            }
            tools.append({"type": "function", "function": function})
        if step.bare_answer:
            choice = {"type": "function", "function": {"name": ANSWER}}
        return Request(messages=list(messages), options={"tools": tools, "tool_choice": choice})

    def listener(self, step: Step) -> Listener:
        return all_of if step.answer is None else reasoning_of

    def read(self, raw: Written, step: Step) -> Read | Malformed:
        text = raw.text
        calls: list[ToolCall] = []
        answer: Any = None
        for call in raw.calls:
            name, written = call.name, call.args
            problem: str | None = None
            args: Any = None
            try:
                args = written_json.loads(written or "{}")
            except ValueError as error:
                problem = f"the arguments of {name} are no valid JSON ({error})"
            if problem is None and not isinstance(args, dict):
                problem = f"the arguments of {name} are no JSON object"
            if name == ANSWER and step.answer is not None:
                problem = problem or problem_with_answer(args, step)
                answer = args
            elif name not in step.names:
                problem = problem or f"there is no tool named {name or '(nothing)'}"
            if problem:
                return Malformed(problem=problem, text=f"{name}({written})", cut=raw.was_cut)
            if name != ANSWER:
                # Results are told apart by it, and some servers give every call the same.
                taken = {one["id"] for one in calls}
                is_own = bool(call.id) and call.id not in taken
                identity = call.id if is_own else f"call_{uuid4().hex[:16]}"
                calls.append(ToolCall(name=name, args=args, id=identity, type="tool_call"))
        if calls:
            return Read(message=AIMessage(text, tool_calls=calls))
        if self._reads_text and step.tools and _AS_TEXT.match(text):
            # Its server did not see the call in what the model wrote.
            found = constrained.read(text, step)
            if isinstance(found, Read) and found.message.tool_calls:
                return found
        if step.answer is None and not step.must_call:
            if text.strip() and raw.was_cut:
                return Malformed(
                    problem=_CUT, text=text, cut=True, stands=Read(message=AIMessage(text))
                )
            if text.strip():
                return Read(message=AIMessage(text))
            return Malformed(problem="the reply was empty", text=text, cut=raw.was_cut)
        if answer is None and step.answer is not None:
            answer = _object(text)
            if answer is None or problem_with_answer(answer, step):
                answer = None
        if answer is not None:
            content = json.dumps(answer, ensure_ascii=False)
            return Read(message=AIMessage(content), answer=answer)
        return Malformed(problem="it calls no tool", text=text, cut=raw.was_cut)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = written_json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
