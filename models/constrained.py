"""Tools for models that do not follow tool-calling templates: one step is one JSON object.

Pure: writes the step's choices into the prompt, renders a history with tool calls as plain
conversation, and reads the reply back into a tool call or an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from models import written_json
from models.dialect import Malformed, Read, Request
from models.hearing import AnswerText, Listener, all_of, reasoning_of
from models.pieces import Written
from models.schema import ANSWER, Schema, Step, problem_with, problem_with_answer, wire_schema

# Left to itself a small model indents, at a quarter more tokens.
_ONE_OBJECT = "Reply with one JSON object on one line"
_FENCE = re.compile(r"```(?:\w+)?\s*\n?(.*?)```", re.DOTALL)


class Constrained:
    """Holds a reply to the step's JSON schema, and its history to plain conversation."""

    def request(self, messages: Sequence[BaseMessage], step: Step) -> Request:
        """The conversation to send, and the schema to hold the reply to.

        What is the same from step to step of an agent stands first, in one system message, so
        that a server's prefix cache serves it.
        """
        rendered = alternating(messages, step)
        if step.plain:
            return Request(messages=rendered)
        guide = _guide(step)
        if isinstance(rendered[0], SystemMessage):
            rendered[0] = SystemMessage(f"{rendered[0].text}\n\n{guide}")
        else:
            rendered.insert(0, SystemMessage(guide))
        form = {
            "type": "json_schema",
            "json_schema": {"name": "step", "schema": wire_schema(step)},
        }
        return Request(messages=rendered, options={"response_format": form})

    def listener(self, step: Step) -> Listener:
        if step.plain:
            return all_of
        return AnswerText() if step.answer is None else reasoning_of

    def read(self, raw: Written, step: Step) -> Read | Malformed:
        return read(raw.text, step, cut=raw.was_cut)


def alternating(messages: Sequence[BaseMessage], step: Step) -> list[BaseMessage]:
    """One system message, then user and assistant in turn, as strict chat templates demand."""
    system = "\n\n".join(str(m.text) for m in messages if isinstance(m, SystemMessage))
    turns: list[BaseMessage] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            continue
        text = _as_text(message, step)
        kind = AIMessage if isinstance(message, AIMessage) else HumanMessage
        if turns and isinstance(turns[-1], kind):
            turns[-1] = kind(f"{turns[-1].text}\n\n{text}")
        else:
            turns.append(kind(text))
    if turns and isinstance(turns[0], AIMessage):
        turns.insert(0, HumanMessage("Hello."))
    if not turns or isinstance(turns[-1], AIMessage):
        turns.append(HumanMessage("Go on."))
    return [SystemMessage(system), *turns] if system else turns


def read(text: str, step: Step, *, cut: bool = False) -> Read | Malformed:
    """A reply as a step. ``cut``: the reply ended at the token limit."""
    if step.plain:
        if not text.strip():
            return Malformed(problem="the reply was empty", text=text, cut=cut)
        return Read(message=AIMessage(text))
    problem = "it holds no JSON object"
    for value in _objects(text):
        found = _read_object(value, step)
        if isinstance(found, Read):
            return found
        problem = found
    if cut:
        problem = "it was cut off at the length limit; write less"
    return Malformed(problem=problem, text=text, cut=cut)


def _read_object(value: Mapping[str, Any], step: Step) -> Read | str:
    if step.bare_answer:
        return _read_answer(value, step)
    action = value.get("action", value.get("name"))
    arguments = value.get("args", value.get("arguments", value.get("parameters", {})))
    if action == ANSWER and not step.must_call:
        if step.answer_schema is not None:
            return _read_answer(value, step)
        text = value.get("text")
        if not isinstance(text, str) or not text.strip():
            return "the answer has no text"
        return Read(message=AIMessage(text, additional_kwargs=_thought(value)))
    if action not in step.parameters:
        allowed = [*step.parameters, *([] if step.must_call else [ANSWER])]
        return f"action must be one of {', '.join(allowed)}, not {json.dumps(action)[:60]}"
    if problem := problem_with(arguments, step.parameters[action]):
        return f"the arguments of {action} are wrong: {problem}"
    call = ToolCall(name=action, args=arguments, id=f"call_{uuid4().hex[:16]}", type="tool_call")
    return Read(message=AIMessage("", tool_calls=[call], additional_kwargs=_thought(value)))


def _read_answer(value: Mapping[str, Any], step: Step) -> Read | str:
    fields = {k: v for k, v in value.items() if k not in ("action", "thought")}
    if problem := problem_with_answer(fields, step):
        return f"the answer is wrong: {problem}"
    content = json.dumps(fields, ensure_ascii=False)
    return Read(message=AIMessage(content, additional_kwargs=_thought(value)), answer=fields)


def _thought(value: Mapping[str, Any]) -> dict[str, Any]:
    thought = value.get("thought")
    return {"thought": thought} if isinstance(thought, str) and thought else {}


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """Every JSON object that a reply may mean, the likeliest first."""
    for candidate in (text, *_FENCE.findall(text), text[text.find("{") :] if "{" in text else ""):
        try:
            value, _ = json.JSONDecoder(strict=False).raw_decode(candidate.strip())
            value = written_json.kept(value)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            yield value


def _as_text(message: BaseMessage, step: Step) -> str:
    if isinstance(message, ToolMessage):
        return f"Result of {message.name or 'the tool'}:\n{message.text}"
    if not isinstance(message, AIMessage) or step.plain or step.bare_answer:
        return str(message.text)
    if message.tool_calls:
        return "\n".join(
            _dumps({"action": call["name"], "args": call["args"]}) for call in message.tool_calls
        )
    return _dumps({"action": ANSWER, "text": message.text})


def _guide(step: Step) -> str:
    """The step's choices in few words: what each does, and a line for each argument."""
    if step.bare_answer:
        schema = step.answer_schema or {"properties": {}}
        return f"{_ONE_OBJECT}:\n{{{_shape(schema)}}}\n{_fields(schema)}"
    head = '"thought": "...", ' if step.thought else ""
    parts = []
    for tool in step.tools:
        function = tool["function"]
        parameters = step.parameters[function["name"]]
        parts.append(
            f'{{{head}"action": "{function["name"]}", "args": {{{_shape(parameters)}}}}}\n'
            f"  {' '.join(str(function.get('description', '')).split())}\n{_fields(parameters)}"
        )
    if not step.must_call:
        if step.answer_schema is None:
            parts.append(f'{{{head}"action": "{ANSWER}", "text": "..."}}\n  The final answer.')
        else:
            shape = _shape(step.answer_schema)
            parts.append(
                f'{{{head}"action": "{ANSWER}", {shape}}}\n'
                f"  The final answer.\n{_fields(step.answer_schema)}"
            )
    one = _ONE_OBJECT + (", one of:" if len(parts) > 1 else ":")
    return "\n".join([one, *(part.rstrip() for part in parts)])


def _shape(schema: Schema) -> str:
    return ", ".join(f'"{name}": ...' for name in schema["properties"])


def _fields(schema: Schema) -> str:
    required = schema.get("required", ())
    lines = []
    for name, field in schema["properties"].items():
        kind = _kind(field) + ("" if name in required else ", optional")
        about = " ".join(str(field.get("description", "")).split())
        lines.append(f"  {name} ({kind})" + (f": {about}" if about else ""))
    return "\n".join(lines)


def _kind(field: Mapping[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(json.dumps(value) for value in field["enum"])
    if "const" in field:
        return json.dumps(field["const"])
    if options := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(_kind(option) for option in options)
    kind = str(field.get("type", "any"))
    if kind == "array":
        return f"list of {_kind(field.get('items', {}))}"
    if kind == "object" and field.get("properties"):
        inner = ", ".join(f"{k}: {_kind(v)}" for k, v in field["properties"].items())
        return f"{{{inner}}}"
    return kind


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
