"""The schema of one step: one JSON object that is either a tool call or the answer.

Pure. The order of properties matters, because models write them in that order: a thought before
the action, the action before its arguments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from pydantic import BaseModel, ValidationError

Schema = dict[str, Any]
Answer = type[BaseModel] | Mapping[str, Any]

ANSWER = "answer"
_THOUGHT_LENGTH = 200
_ARGUMENT_LENGTH = 600
_ANSWER_LENGTH = 1500
_MAX_ITEMS = 16
# llama.cpp refuses grammars with more repetitions than 2,000.
_LONGEST = 1900
_DROPPED = {"title", "default", "examples", "$defs", "definitions", "$schema", "description"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the model may do next.

    ``tools`` are in OpenAI's function format; ``answer`` is None where the answer is plain text;
    ``must_call`` leaves no other way than a tool.
    """

    tools: tuple[Mapping[str, Any], ...] = ()
    answer: Answer | None = None
    must_call: bool = False
    thought: bool = False
    names: frozenset[str] = field(init=False)
    answer_schema: Schema | None = field(init=False)

    def __post_init__(self) -> None:
        names = [tool["function"]["name"] for tool in self.tools]
        if ANSWER in names or len(set(names)) < len(names):
            raise ValueError(f"tool names must differ from each other and from '{ANSWER}': {names}")
        if self.must_call and not names:
            raise ValueError("a step that must call a tool needs one")
        object.__setattr__(self, "names", frozenset(names))
        schema = None if self.answer is None else _answer_schema(self.answer)
        if schema is not None and {"action", "thought"} & set(schema.get("properties", ())):
            raise ValueError("an answer schema has no field named 'action' or 'thought'")
        object.__setattr__(self, "answer_schema", schema)

    @cached_property
    def parameters(self) -> Mapping[str, Schema]:
        """The arguments of each tool; raises ValueError on a recursive schema."""
        return {t["function"]["name"]: inlined(_parameters(t)) for t in self.tools}

    @property
    def plain(self) -> bool:
        """Whether nothing but text is asked for."""
        return not self.tools and self.answer is None

    @property
    def bare_answer(self) -> bool:
        """Whether the answer's own object is the whole reply, without an ``action``."""
        return not self.tools and self.answer is not None


def wire_schema(step: Step) -> Schema:
    """The JSON schema for constrained decoding, with every string and array bounded."""
    options = [
        _object(step, name=name, fields={"args": bounded(schema, longest=_ARGUMENT_LENGTH)})
        for name, schema in step.parameters.items()
    ]
    if not step.must_call:
        if step.answer_schema is None:
            fields: Schema = {"text": {"type": "string", "maxLength": _ANSWER_LENGTH}}
            options.append(_object(step, name=ANSWER, fields=fields))
        else:
            answer = bounded(step.answer_schema, longest=_ANSWER_LENGTH)
            required = answer.get("required", ())
            options.append(
                _object(step, name=ANSWER, fields=answer["properties"], required=required)
            )
    return options[0] if len(options) == 1 else {"anyOf": options}


def _object(
    step: Step, *, name: str, fields: Schema, required: Sequence[str] | None = None
) -> Schema:
    properties: Schema = {}
    if step.thought:
        properties["thought"] = {"type": "string", "maxLength": _THOUGHT_LENGTH}
    if not step.bare_answer:
        properties["action"] = {"const": name}
    head = list(properties)
    return {
        "type": "object",
        "properties": properties | fields,
        "required": head + list(fields if required is None else required),
        "additionalProperties": False,
    }


def problem_with(value: Any, schema: Schema) -> str | None:
    """What is wrong with a value, in one short line for the model, or None."""
    return _problem(value, Draft202012Validator(schema))


def _problem(value: Any, validator: Draft202012Validator) -> str | None:
    error = best_match(validator.iter_errors(value))
    if error is None:
        return None
    where = ".".join(str(part) for part in error.absolute_path)
    return (f"{where}: " if where else "") + str(error.message)[:160]


def problem_with_answer(value: Any, step: Step) -> str | None:
    """As ``problem_with``, and by the pydantic model's own validators where there is one."""
    if not isinstance(step.answer, type):
        return problem_with(value, step.answer_schema or {})
    problem = _problem(value, _validator_of(step.answer))
    if problem is None:
        try:
            step.answer.model_validate(value)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"[:200]
    return problem


def inlined(schema: Mapping[str, Any]) -> Schema:
    """The schema with its local ``$ref``s replaced; raises ``ValueError`` on a recursive one."""
    result: Schema = _inline(schema, root=schema, seen=())
    return result


def _inline(node: Any, *, root: Mapping[str, Any], seen: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_inline(item, root=root, seen=seen) for item in node]
    if not isinstance(node, Mapping):
        return node
    if isinstance(ref := node.get("$ref"), str):
        if ref in seen:
            raise ValueError(f"the schema refers to itself at {ref}, which no model can be held to")
        target: Any = root
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _inline({**target, **rest}, root=root, seen=(*seen, ref))
    return {
        key: _inline(value, root=root, seen=seen)
        for key, value in node.items()
        if key not in ("$defs", "definitions")
    }


def bounded(schema: Mapping[str, Any], *, longest: int) -> Schema:
    """A copy for the grammar: words for people left out, no string or array without an end."""
    result: Schema = _bound(schema, longest=longest)
    return result


def _bound(node: Any, *, longest: int) -> Any:
    if not isinstance(node, Mapping):
        return node
    out: Schema = {key: value for key, value in node.items() if key not in _DROPPED}
    if isinstance(properties := node.get("properties"), Mapping):
        out["properties"] = {k: _bound(v, longest=longest) for k, v in properties.items()}
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        if isinstance(options := node.get(key), list):
            out[key] = [_bound(option, longest=longest) for option in options]
    for key in ("items", "additionalProperties"):
        if isinstance(inner := node.get(key), Mapping):
            out[key] = _bound(inner, longest=longest)
    kind = node.get("type")
    if kind == "string" and not {"enum", "const", "format", "pattern"} & set(node):
        out["maxLength"] = min(node.get("maxLength", longest), _LONGEST)
    if kind == "array":
        out["maxItems"] = node.get("maxItems", max(_MAX_ITEMS, node.get("minItems", 0)))
    if kind == "object" and "properties" in node:
        out.setdefault("additionalProperties", False)
    return out


def _parameters(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters: Mapping[str, Any] = tool["function"].get("parameters") or {}
    return {"type": "object", "properties": {}, **parameters}


def _answer_schema(answer: Answer) -> Schema:
    if isinstance(answer, Mapping):
        return inlined({"type": "object", "properties": {}, **answer})
    return _inlined_of(answer)


@lru_cache(maxsize=64)
def _inlined_of(model: type[BaseModel]) -> Schema:
    return inlined(schema_of(model))


@lru_cache(maxsize=64)
def _validator_of(model: type[BaseModel]) -> Draft202012Validator:
    return Draft202012Validator(_inlined_of(model))


@lru_cache(maxsize=64)
def schema_of(model: type[BaseModel]) -> Schema:
    """A model's JSON schema, which is asked for with every call. Not to be changed."""
    return model.model_json_schema()
