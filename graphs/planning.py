"""From the coordinator's plan to tasks in waves. Pure."""

from __future__ import annotations

import re
import uuid

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from agents import coder, coordinator, researcher
from graphs.state import Finding, Task
from guardrails import grounding
from tools.retrieval.compound import ASKING

# A plain "it" or "them" is as often empty, and a small model that is told an earlier answer
# where it needs none repeats that answer.
_REFERS_BACK = re.compile(r"\b(?:that|this|those|these|such|the same)\b", re.IGNORECASE)
_TURNS = 6
_TURN_LENGTH = 800
_AND_ANOTHER = re.compile(rf",?\s+and\s+(?={ASKING})", re.IGNORECASE)


def conversation(messages: list[AnyMessage]) -> list[AnyMessage]:
    """The last turns, all but the last clipped, from a user's word on: no model gets a thread's
    whole history.
    """
    turns = [m for m in messages if isinstance(m, HumanMessage | AIMessage) and m.text.strip()]
    last = turns[-_TURNS:]
    while last and not isinstance(last[0], HumanMessage):
        last = last[1:]
    clipped: list[AnyMessage] = []
    for message in last:
        text = message.text.strip()
        if message is not last[-1]:
            text = text[:_TURN_LENGTH]
        clipped.append(HumanMessage(text) if isinstance(message, HumanMessage) else AIMessage(text))
    return clipped


def transcript(turns: list[AnyMessage]) -> str:
    """The turns as one text, for a model that only rewrites the last of them."""
    return "\n".join(
        f"{'User' if isinstance(turn, HumanMessage) else 'Assistant'}: {turn.text}"
        for turn in turns
    )


def parts_of(question: str) -> list[str]:
    """The questions that one sentence asks ("which plan, and what does it cost?"), in its words.

    What is said before the question belongs to each of them.
    """
    *before, asked = grounding.sentences(question) or [""]
    parts = [part.strip(" ,?") for part in _AND_ANOTHER.split(asked)]
    lead = "".join(f"{sentence} " for sentence in before)
    return [f"{lead}{part[:1].upper()}{part[1:]}?" for part in parts if part]


def task(agent: str, instruction: str, queries: list[str], *, wave: int = 0) -> Task:
    """A task with an id of its own."""
    return Task(
        id=uuid.uuid4().hex[:12], agent=agent, instruction=instruction, queries=queries, wave=wave
    )


def tasks_of(plan: coordinator.Plan, *, question: str, alone: bool) -> tuple[str, list[Task]]:
    """The question as it stands by itself, and the tasks that answer it.

    The user's own words are kept where they stand alone. A part that refers back to another
    ("and what does that cost?") waits for it; parts that do not are worked on side by side.
    """
    asked = list(dict.fromkeys(part.strip() for part in plan.tasks if part.strip()))
    if not alone and asked:
        question = " ".join(asked)
    if len(parts := parts_of(question)) > 1:
        # A small model forgets the second half; what the grammar shows is not left to it.
        asked = parts
    # Without a number of the user's own there is nothing to work out.
    if plan.move == "calculate" and grounding.numbers(question):
        queries = list(dict.fromkeys([question, *asked]))
        return question, [
            task(researcher.GATHERER, question, queries),
            task(coder.NAME, question, [], wave=1),
        ]
    if len(asked) < 2:
        return question, [task(researcher.NAME, question, [question])]
    tasks: list[Task] = []
    wave = 0
    for part in asked:
        if tasks and _REFERS_BACK.search(part):
            wave += 1
        tasks.append(task(researcher.NAME, part, [part, question], wave=wave))
    return question, tasks


def narrow(tasks: list[Task], *, most: int | None) -> list[Task]:
    """The same tasks with at most so many side by side: what does not fit has a later wave."""
    if most is None:
        return tasks
    narrowed: list[Task] = []
    wave = -1
    for former in sorted({task["wave"] for task in tasks}):
        together = [task for task in tasks if task["wave"] == former]
        for index, task in enumerate(together):
            wave += index % most == 0
            narrowed.append({**task, "wave": wave})
    return narrowed


def again(tasks: list[Task]) -> list[Task]:
    """The same tasks anew, for another round."""
    return [
        task(one["agent"], one["instruction"], one["queries"], wave=one["wave"]) for one in tasks
    ]


def briefing(one: Task, findings: list[Finding]) -> str:
    """What a later task is told of the earlier ones."""
    known = [finding for finding in findings if finding["found"]]
    if one["agent"] == coder.NAME:
        facts = "\n".join(_stated(finding) for finding in known)
        return f"Facts:\n{facts}" if facts else ""
    return "Known so far: " + " ".join(finding["text"] for finding in known) if known else ""


def _stated(finding: Finding) -> str:
    """The lines of a finding whose numbers stand in its passages: a sum of its own is no fact."""
    texts = [str(passage["text"]) for passage in finding["sources"]]
    lines = [line for line in finding["text"].splitlines() if line.strip()]
    kept = [
        line
        for line in lines
        if not grounding.unsupported_numbers(line, [*texts, finding["instruction"]])
    ]
    return "\n".join(line if line.startswith("-") else f"- {line}" for line in kept or lines)
