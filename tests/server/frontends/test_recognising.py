"""What is one of a frontend's own tasks, and what only looks like it."""

from __future__ import annotations

import pytest

from models.priorities import Priority
from server.runs.asked import FRONTEND
from server.wire.frontend_tasks import FrontendTask, asked_of, recognised, template_of
from tests.server.frontends import bodies

TASKS = {
    "title": (bodies.open_webui(*bodies.TITLE), FrontendTask.TITLE),
    "later title": (bodies.open_webui(*bodies.LATER_TITLE), FrontendTask.TITLE),
    "tags": (bodies.open_webui(*bodies.TAGS), FrontendTask.TAGS),
    "follow-ups": (bodies.open_webui(*bodies.FOLLOW_UPS), FrontendTask.FOLLOW_UPS),
    "queries": (bodies.open_webui(*bodies.QUERIES, end="\n"), FrontendTask.QUERIES),
    "image": (bodies.open_webui(*bodies.IMAGE), FrontendTask.IMAGE_PROMPT),
    "autocomplete": (bodies.AUTOCOMPLETE, FrontendTask.AUTOCOMPLETE),
    "LibreChat": (bodies.LIBRECHAT, FrontendTask.PLAIN_TITLE),
    "earlier LibreChat": (bodies.EARLIER_LIBRECHAT, FrontendTask.PLAIN_TITLE),
}
TITLE = TASKS["title"][0]
QUESTIONS = {
    "a question": "How long can I return an annual plan?",
    "a title is asked for": "Generate a concise title summarizing the chat history.",
    "a heading of its own": "### Task:\nGenerate a concise title for my talk about pensions.",
    "the template asked about": f"What does this prompt do?\n\n{TITLE}",
    "a question behind it": f"{TITLE}\n\nWhy does Open WebUI send this?",
    "no key for the answer": TITLE.replace('"title"', "title"),
    "no conversation in it": TITLE.replace("<chat_history>", "<history>"),
    "its context, to be answered from": bodies.RAG,
    "of LibreChat, without a conversation": bodies.LIBRECHAT.partition("Conversation:")[0],
    "of LibreChat, quoted": f"Is this a good prompt? {bodies.LIBRECHAT}",
    "nothing": "",
}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize("name", TASKS)
def test_a_clients_own_task_is_recognised(name: str) -> None:
    prompt, task = TASKS[name]
    for said in ([user(prompt)], [{"role": "system", "content": "Be kind."}, user(prompt)]):
        found = recognised(said)
        assert found is not None
        assert found.template.task is task
        assert [one["role"] for one in found.messages] == [one["role"] for one in said]
        assert found.messages[-1]["content"] == prompt.strip()


@pytest.mark.parametrize("name", QUESTIONS)
def test_what_only_looks_like_one_is_a_question(name: str) -> None:
    assert recognised([user(QUESTIONS[name])]) is None


def test_a_conversation_is_none_whatever_was_said_last() -> None:
    before = [user("How long?"), {"role": "assistant", "content": "45 days."}]
    assert recognised([*before, user(TITLE)]) is None
    assert recognised([user(TITLE), user(TITLE)]) is None
    assert recognised([{"role": "assistant", "content": TITLE}]) is None


def test_of_a_long_talk_the_beginning_and_the_end_are_read_and_the_prompt_stays_whole() -> None:
    talk = "USER: first </chat_history> " + "words of it " * 2_000 + "<chat_history> last"
    found = recognised([user(bodies.open_webui(*bodies.TITLE, talk=talk))])
    assert found is not None
    prompt = found.messages[0]["content"]
    assert len(prompt) < 2_200
    assert prompt.startswith("### Task:\nGenerate a concise, 3-5 word title")
    assert prompt.endswith("<chat_history> last\n</chat_history>")
    assert "USER: first </chat_history> words" in prompt
    assert "[...]" in prompt


def test_whom_somebody_waits_for_is_not_in_the_background() -> None:
    priorities = {
        found.template.task: asked_of(found).configurable["priority"]
        for prompt, _ in TASKS.values()
        if (found := recognised([user(prompt)])) is not None
    }
    waited = {task for task, given in priorities.items() if given == Priority.INTERACTIVE}
    assert waited == {
        FrontendTask.QUERIES,
        FrontendTask.AUTOCOMPLETE,
        FrontendTask.IMAGE_PROMPT,
    }


def test_its_run_is_no_teams_and_its_thread_goes_with_it() -> None:
    found = recognised([user(TITLE)])
    assert found is not None
    asked = asked_of(found)
    assert (asked.graph, asked.temporary) == (FRONTEND, True)
    assert template_of("title") is found.template
    assert template_of("of a later version") is None
