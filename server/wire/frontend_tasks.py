"""What chat frontends ask by themselves beside a conversation: a title, tags, follow-up questions.

They send their own prompt template as a single user message. It is known by how it begins, which
key it asks for and how it ends; whatever differs in one of these is an ordinary question. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from models.priorities import Priority
from server.runs.asked import FRONTEND, Asked
from server.runs.workload import PRIORITY

KIND = "frontend_task"
"""The key of ``config.configurable`` that says which task a run is."""

_OPENED, _CLOSED = "<chat_history>", "</chat_history>"
_LEFT_OUT = "\n[...]\n"
_OUTPUT = "#### Output:"


class FrontendTask(StrEnum):
    """What is wanted; the value is stored."""

    TITLE = "title"
    PLAIN_TITLE = "plain_title"
    TAGS = "tags"
    FOLLOW_UPS = "follow_ups"
    QUERIES = "queries"
    IMAGE_PROMPT = "image_prompt"
    AUTOCOMPLETE = "autocomplete"


@dataclass(frozen=True, kw_only=True)
class Template:
    """How a client's prompt for a task is known, and what answers it.

    ``begins`` matches at the start, behind ``heading``. ``key`` has to stand in quotes before the
    conversation and is the field of the answer; None where that is plain text. ``opened`` and
    ``closed`` are around the conversation, of which ``longest`` characters are read; ``ends`` is
    what the prompt ends with. ``schema`` is the field's, ``max_tokens`` the reply's limit.
    """

    task: FrontendTask
    begins: re.Pattern[str]
    heading: str = ""
    key: str | None = None
    schema: Mapping[str, Any] | None = None
    opened: str
    closed: str = ""
    ends: str = ""
    longest: int
    max_tokens: int
    priority: Priority = Priority.BACKGROUND

    @property
    def answer(self) -> Mapping[str, Any] | None:
        """The schema of the whole answer; None where it is plain text."""
        if self.key is None or self.schema is None:
            return None
        return {
            "type": "object",
            "properties": {self.key: self.schema},
            "required": [self.key],
            "additionalProperties": False,
        }


def _text(longest: int) -> Mapping[str, Any]:
    return {"type": "string", "maxLength": longest}


def _texts(most: int, *, longest: int) -> Mapping[str, Any]:
    return {"type": "array", "items": _text(longest), "maxItems": most}


def _open_webui(task: FrontendTask, begins: str, **given: Any) -> Template:
    default: dict[str, Any] = {
        "heading": "### Task:",
        "opened": _OPENED,
        "closed": _CLOSED,
        "ends": _CLOSED,
        "longest": 3_000,
    }
    return Template(task=task, begins=re.compile(begins), **{**default, **given})


TEMPLATES: Sequence[Template] = (
    _open_webui(
        FrontendTask.TITLE,
        r"Generate a concise\b[^\n]{0,60}\btitle\b",
        key="title",
        schema=_text(200),
        longest=1_500,
        max_tokens=80,
    ),
    _open_webui(
        FrontendTask.TAGS,
        r"Generate \S{1,5} broad tags categorizing the main themes of the chat history\b",
        key="tags",
        schema=_texts(8, longest=60),
        max_tokens=120,
    ),
    _open_webui(
        FrontendTask.FOLLOW_UPS,
        r"Suggest \S{1,5} relevant follow-up questions or prompts\b",
        key="follow_ups",
        schema=_texts(5, longest=250),
        max_tokens=300,
    ),
    # Whoever asked waits for these.
    _open_webui(
        FrontendTask.QUERIES,
        r"Analyze the chat history to determine the necessity of generating search queries\b",
        key="queries",
        schema=_texts(5, longest=250),
        max_tokens=200,
        priority=Priority.INTERACTIVE,
    ),
    _open_webui(
        FrontendTask.AUTOCOMPLETE,
        r"You are an autocompletion system\.",
        key="text",
        schema=_text(300),
        max_tokens=80,
        ends=_OUTPUT,
        priority=Priority.INTERACTIVE,
    ),
    _open_webui(
        FrontendTask.IMAGE_PROMPT,
        # The template has it so.
        r"Generate a detailed prompt for an?m? image generation task\b",
        key="prompt",
        schema=_text(1_200),
        max_tokens=400,
        priority=Priority.INTERACTIVE,
    ),
    # LibreChat's, by its title method `completion`.
    Template(
        task=FrontendTask.PLAIN_TITLE,
        begins=re.compile(
            r"Provide a concise, 5-word-or-less title for the conversation, using [^\n]{0,200}"
            r"only return the title itself\.",
            re.IGNORECASE,
        ),
        opened="Conversation:",
        longest=1_500,
        max_tokens=40,
    ),
)
_BY_TASK = {template.task: template for template in TEMPLATES}


def template_of(task: str) -> Template | None:
    """The template by its task's stored name; None where this version has none."""
    return _BY_TASK.get(FrontendTask(task)) if task in {*FrontendTask} else None


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """A task, and its messages with as much of the talk as is read."""

    template: Template
    messages: Sequence[Mapping[str, str]]


def recognised(messages: Sequence[Mapping[str, str]]) -> Recognised | None:
    """Which task a conversation is; None where it is none, or in doubt.

    A conversation of more than one message besides the system's is none: the client's tasks carry
    theirs within the prompt.
    """
    said = [one for one in messages if one["role"] != "system"]
    if len(said) != 1 or said[0]["role"] != "user":
        return None
    prompt = said[0]["content"].strip()
    for template in TEMPLATES:
        if (shortened := _matched(prompt, template)) is not None:
            short = {"role": "user", "content": shortened}
            kept = [short if one is said[0] else one for one in messages]
            return Recognised(template=template, messages=kept)
    return None


def _matched(prompt: str, template: Template) -> str | None:
    """The prompt, shortened, where it is the template's."""
    if not prompt.startswith(template.heading) or not prompt.endswith(template.ends):
        return None
    if not template.begins.match(prompt[len(template.heading) :].lstrip()):
        return None
    # What people wrote may hold the marks again: the outermost ones are the template's.
    head, opened, rest = prompt.partition(template.opened)
    if not opened or (template.key is not None and f'"{template.key}"' not in head):
        return None
    if not template.closed:
        return head + opened + _shortened(rest, template.longest)
    talk, closed, tail = rest.rpartition(template.closed)
    if not closed:
        return None
    return head + opened + _shortened(talk, template.longest) + closed + tail


def _shortened(text: str, longest: int) -> str:
    """Its beginning and its end, where it is longer."""
    if len(text) <= longest:
        return text
    end = longest // 3
    return text[: longest - end] + _LEFT_OUT + text[-end:]


def asked_of(task: Recognised) -> Asked:
    """The run that answers it: one call, on a thread that goes with it."""
    template = task.template
    return Asked(
        graph=FRONTEND,
        assistant_id=FRONTEND,
        input={"messages": list(task.messages)},
        config={"configurable": {KIND: template.task.value, PRIORITY: template.priority.value}},
        temporary=True,
    )


def is_one(asked: Asked) -> bool:
    """Whether a run is one of a frontend's tasks."""
    return asked.graph == FRONTEND
