"""OpenAI's responses with the unmodified clients, streamed and whole, and gone on from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from langgraph_sdk import get_client
from langgraph_sdk.errors import NotFoundError as Missing
from openai import APIStatusError, BadRequestError, InternalServerError, NotFoundError, OpenAI

from graphs import events
from models.embedder import HashedEmbedder
from models.progress import RecordedProgress
from models.registry import Role
from models.scripted import Scripted, ScriptedModel
from server.app import build
from server.house import open_house
from server.runs.transitions import RunStatus
from server.settings import Settings
from tests.server.frontends import bodies
from tests.server.surface import (
    ANSWER,
    SECONDS,
    SOURCES,
    USAGE,
    Parts,
    Team,
    in_process,
    openai_client,
    served,
)

QUESTION = "How many days do I have to return an annual plan?"
MODEL = "counterpoint"
CITED = events.Citation(
    number=1,
    start=0,
    end=47,
    document_id="doc_1",
    chunk_id="doc_1#0",
    source="handbook/plans-and-refunds.md",
    span=(0, 40),
    text="Annual plans can be returned within 30 days.",
)


def body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "input": QUESTION, **more}


async def test_a_response_comes_whole_with_its_sources_as_annotations(
    app: FastAPI, team: Team
) -> None:
    team.end = events.RunFinished(
        answer=ANSWER, sources=SOURCES, citations=[CITED], stop_reason="answered", usage=USAGE
    )
    async with served(app) as url, openai_client(url) as client:
        made = await client.responses.create(
            model=MODEL, input=QUESTION, instructions="Be brief.", metadata={"topic": "refunds"}
        )
        again = await client.responses.retrieve(made.id)
    assert (made.status, made.error, made.model) == ("completed", None, MODEL)
    assert made.output_text.startswith(ANSWER + "\n\nSources:\n[1] plans-and-refunds.md")
    message: Any = made.output[-1]
    (noted,) = message.content[0].annotations
    assert (noted.type, noted.start_index, noted.end_index) == ("url_citation", 0, 47)
    assert noted.title == "Plans and refunds"
    assert noted.url == f"{url}/documents/doc_1?collection=default#char=0,40"
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.total_tokens) == (812, 843)
    assert (made.instructions, made.metadata) == ("Be brief.", {"topic": "refunds"})
    assert again.to_dict() == made.to_dict()
    assert [one["role"] for one in team.asked[0].asked.messages] == ["system", "user"]


@pytest.mark.usefixtures("team")
async def test_events_come_in_the_protocols_order_and_add_up_to_the_response(app: FastAPI) -> None:
    async with served(app) as url, openai_client(url) as client:
        stream = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
        told: list[Any] = [one async for one in stream]
        async with client.responses.stream(model=MODEL, input=QUESTION) as helped:
            async for _ in helped:
                pass
            final = await helped.get_final_response()
    kinds = [one.type.removeprefix("response.") for one in told]
    assert list(dict.fromkeys(kinds)) == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "completed",
    ]
    assert kinds.count("output_item.added") == kinds.count("output_item.done") == 2
    assert kinds.index("content_part.added") > kinds.index("output_item.done")
    assert kinds[-2:] == ["output_item.done", "completed"]
    assert [one.sequence_number for one in told] == list(range(len(told)))
    done = told[-1].response
    deltas = [one.delta for one in told if one.type == "response.output_text.delta"]
    assert "".join(deltas) == done.output_text
    assert len(deltas) > 5
    summary = done.output[0].summary[0].text
    assert summary.splitlines()[0] == "researcher: Find the return window"
    assert final.output_text == done.output_text


async def test_a_stream_that_was_cut_goes_on_behind_the_last_number(
    app: FastAPI, team: Team
) -> None:
    team.hold = True
    async with served(app) as url, openai_client(url) as client:
        first = await client.responses.create(
            model=MODEL, input=QUESTION, stream=True, background=True
        )
        seen: list[Any] = []
        async for one in first:
            seen.append(one)
            if one.type == "response.reasoning_summary_text.delta":
                break
        await first.close()
        name = seen[0].response.id
        assert (await client.responses.retrieve(name)).status == "in_progress"
        team.let_go.set()
        rest = await client.responses.retrieve(
            name, stream=True, starting_after=seen[-1].sequence_number
        )
        async for one in rest:
            seen.append(one)
        whole = [one async for one in await client.responses.retrieve(name, stream=True)]
    assert [one.sequence_number for one in seen] == list(range(len(seen)))
    assert [one.to_dict() for one in seen] == [one.to_dict() for one in whole]


async def test_the_sync_client_does_the_same(app: FastAPI, team: Team) -> None:
    del team

    def asked(url: str) -> tuple[str, str, str]:
        with OpenAI(base_url=f"{url}/v1", api_key="any", timeout=SECONDS) as client:
            made = client.responses.create(model=MODEL, input=[{"role": "user", "content": "Hi"}])
            stream = client.responses.create(model=MODEL, input=QUESTION, stream=True)
            last: Any = list(stream)[-1]
            client.responses.delete(made.id)
            with pytest.raises(NotFoundError):
                client.responses.retrieve(made.id)
            return made.status or "", made.output_text, last.response.output_text

    async with served(app) as url:
        status, text, streamed = await asyncio.to_thread(asked, url)
    assert (status, text) == ("completed", streamed)


async def test_one_in_the_background_is_answered_at_once_and_can_be_ended(
    app: FastAPI, team: Team, parts: Parts
) -> None:
    team.hold = True
    async with served(app) as url, openai_client(url) as client:
        made = await client.responses.create(model=MODEL, input=QUESTION, background=True)
        assert (made.status, made.output) == ("queued", [])
        await asyncio.wait_for(team.begun.wait(), SECONDS)
        assert (await client.responses.cancel(made.id)).status == "cancelled"
        await parts.runs.wait(made.id.removeprefix("resp_"))
        ended = await client.responses.retrieve(made.id)
    assert (ended.status, ended.error) == ("cancelled", None)


async def test_a_failure_is_an_error_or_the_last_event(app: FastAPI, team: Team) -> None:
    team.end = events.RunFailed(error="ModelUnreachable", message="The model does not answer.")
    async with served(app) as url, openai_client(url, max_retries=0) as client:
        with pytest.raises(InternalServerError, match="does not answer"):
            await client.responses.create(model=MODEL, input=QUESTION)
        stream = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
        last: Any = [one async for one in stream][-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert last.response.error.message == "The model does not answer."


async def test_an_answer_cut_by_a_limit_is_incomplete(app: FastAPI, team: Team) -> None:
    team.end = events.RunFinished(answer="Partly.", stop_reason="max_tokens", usage=USAGE)
    async with served(app) as url, openai_client(url) as client:
        stream = await client.responses.create(model=MODEL, input=QUESTION, stream=True)
        last: Any = [one async for one in stream][-1]
    assert last.type == "response.incomplete"
    assert last.response.incomplete_details.reason == "max_output_tokens"
    assert last.response.output_text == "Partly."


async def test_one_goes_on_from_another_on_its_thread(
    app: FastAPI, team: Team, parts: Parts
) -> None:
    async with served(app) as url, openai_client(url) as client:
        first = await client.responses.create(model=MODEL, input=QUESTION)
        await client.responses.create(
            model=MODEL, input="And a month?", previous_response_id=first.id, max_tool_calls=2
        )
        one, two = team.asked
        assert one.thread_id == two.thread_id
        assert [said["content"] for said in two.asked.messages] == ["And a month?"]
        assert two.asked.limits == {"tool_calls": 2}
        thread = await parts.threads.get(one.thread_id)
        assert thread.metadata["source"] == "responses"
        assert thread.ttl is not None
        with pytest.raises(NotFoundError) as missing:
            await client.responses.create(model=MODEL, input="?", previous_response_id="resp_none")
    assert missing.value.code == "previous_response_not_found"


async def test_an_answer_may_be_given_back_by_its_id(app: FastAPI, team: Team) -> None:
    async with served(app) as url, openai_client(url) as client:
        first = await client.responses.create(model=MODEL, input=QUESTION)
        items: list[Any] = [
            {"role": "user", "content": QUESTION},
            *({"type": "item_reference", "id": one.id} for one in first.output),
            {"role": "user", "content": "And a month?"},
        ]
        await client.responses.create(model=MODEL, input=items)
        # The reference's type may be left out.
        await client.responses.create(model=MODEL, input=[{"id": items[2]["id"]}, items[-1]])
        unstored = await client.responses.create(model=MODEL, input=QUESTION, store=False)
        for name in ("msg_none", unstored.output[-1].id):
            items[2] = {"type": "item_reference", "id": name}
            with pytest.raises(NotFoundError, match="there is no message") as missing:
                await client.responses.create(model=MODEL, input=items)
            assert missing.value.param == "input.2.id"
    assert [one.type for one in first.output] == ["reasoning", "message"]
    said = [[one["content"] for one in run.asked.messages] for run in team.asked[1:3]]
    assert said == [[QUESTION, ANSWER, "And a month?"], [ANSWER, "And a month?"]]


async def test_one_that_waits_for_a_person_is_not_taken_over(app: FastAPI, team: Team) -> None:
    team.end = events.RunInterrupted(interrupts=[events.Interrupt(id="i", value="May I?")])
    async with served(app) as url, openai_client(url) as client:
        waits = await client.responses.create(model=MODEL, input=QUESTION)
        assert "before a person has decided" in waits.output_text
        with pytest.raises(BadRequestError, match="waits for a person"):
            await client.responses.create(model=MODEL, input="?", previous_response_id=waits.id)


async def test_what_is_not_stored_is_not_there_afterwards(app: FastAPI, team: Team) -> None:
    async with served(app) as url, openai_client(url) as client:
        made = await client.responses.create(model=MODEL, input=QUESTION, store=False)
        assert made.output_text.startswith(ANSWER)
        with pytest.raises(NotFoundError, match="not stored"):
            await client.responses.retrieve(made.id)
    assert team.asked[0].asked.temporary


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("tools", {"tools": [{"type": "function", "name": "f", "parameters": {}}]}),
        ("tool_choice", {"tool_choice": "required"}),
        ("text.format", {"text": {"format": {"type": "json_object"}}}),
        ("conversation", {"conversation": "conv_1"}),
        ("prompt", {"prompt": {"id": "p"}}),
        ("background", {"background": True, "store": False}),
        ("store", {"store": False, "previous_response_id": "resp_1"}),
        ("model", {"model": "gpt-4"}),
        ("input", {"input": []}),
        ("input.0.type", {"input": [{"type": "function_call_output", "output": "x"}]}),
        ("input.1.content", {"input": [{"role": "user", "content": "a"}, {"role": "user"}]}),
        ("input.0.role", {"input": [{"role": "robot", "content": "a"}]}),
    ],
)
async def test_what_cannot_be_done_is_refused_by_the_fields_name(
    app: FastAPI, field: str, given: dict[str, Any]
) -> None:
    async with served(app) as url, openai_client(url) as client:
        with pytest.raises(APIStatusError) as refused:
            await client.post("/responses", cast_to=object, body=body(**given))
    assert refused.value.status_code == (404 if field == "model" else 400)
    assert refused.value.param == field
    assert refused.value.message.count(field) >= 1


async def test_another_tenants_response_is_none(parts: Parts, team: Team) -> None:
    del team
    run = await parts.runs.create((await _asked(parts)).asked, tenant="other")
    await parts.runs.wait(run.run_id)
    async with in_process(build(parts)) as client:
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/cancel")):
            answer = await client.request(method, f"/v1/responses/resp_{run.run_id}{path}")
            assert answer.status_code == 404
        # Nor is a run of another wire one.
        answer = await client.post(
            "/v1/chat/completions",
            json={"model": MODEL, "messages": [{"role": "user", "content": "Hi"}]},
        )
        other = answer.json()["counterpoint"]["run_id"]
        assert (await client.get(f"/v1/responses/resp_{other}")).status_code == 404


async def _asked(parts: Parts) -> Any:
    async with in_process(build(parts)) as client:
        made = (await client.post("/v1/responses", json=body())).json()
    return await parts.runs.get(made["id"].removeprefix("resp_"))


async def test_a_frontends_own_task_is_no_run_of_the_team(app: FastAPI, team: Team) -> None:
    prompt = bodies.open_webui(*bodies.TITLE)
    async with in_process(app) as client:
        await client.post("/v1/responses", json=body(input=prompt))
    assert [one.asked.graph for one in team.asked] == ["frontend"]
    assert team.asked[0].status is RunStatus.RUNNING


@asynccontextmanager
async def whole(folder: Path, *steps: Scripted) -> AsyncIterator[tuple[str, ScriptedModel]]:
    """The real team, with a model by script."""
    with ScriptedModel(steps=list(steps)) as model:
        async with (
            open_house(
                Settings(data_dir=folder / "data"),
                progress=RecordedProgress(),
                models=dict.fromkeys(Role, model),
                embedder=HashedEmbedder(dimension=64),
            ) as house,
            served(build(house)) as url,
        ):
            yield url, model


async def test_a_conversation_branches_where_a_response_is_gone_on_from_twice(
    folder: Path,
) -> None:
    def reply(text: str) -> Scripted:
        return Scripted(agent="coordinator", answer={"move": "reply", "text": text, "tasks": []})

    steps = [reply("Hello Ana."), reply("You are Ana."), reply("You are Ana, I think.")]
    async with (
        whole(folder, *steps) as (url, model),
        openai_client(url) as client,
    ):
        first = await client.responses.create(model=MODEL, input="Hi, I am Ana.")
        second, third = [
            await client.responses.create(model=MODEL, input=words, previous_response_id=first.id)
            for words in ("Who am I?", "What is my name?")
        ]
    assert [one.output_text for one in (first, second, third)] == [
        "Hello Ana.",
        "You are Ana.",
        "You are Ana, I think.",
    ]
    assert "Hello Ana." in model.asked[1].text
    assert "Hello Ana." in model.asked[2].text
    assert "Who am I?" not in model.asked[2].text


async def test_one_whose_steps_are_gone_is_not_gone_on_from_with_nothing(folder: Path) -> None:
    def reply(text: str) -> Scripted:
        return Scripted(agent="coordinator", answer={"move": "reply", "text": text, "tasks": []})

    async with (
        whole(folder, reply("Hello Ana."), reply("Hello again.")) as (url, _),
        openai_client(url) as client,
        get_client(url=url, api_key=None) as threads,
    ):
        first = await client.responses.create(model=MODEL, input="Hi, I am Ana.")
        more: Any = {"model": MODEL, "input": "It is me.", "previous_response_id": first.id}
        second: Any = await client.responses.create(**more)
        thread_id = second.counterpoint["thread_id"]
        await threads.threads.prune([thread_id], strategy="keep_latest")
        with pytest.raises(NotFoundError, match="send the conversation as input") as refused:
            await client.responses.create(**more)
        state: Any = await threads.threads.get_state(thread_id)
        asked: Any = {"messages": [{"role": "user", "content": "Who am I?"}]}
        with pytest.raises(Missing, match="has no checkpoint"):
            await threads.runs.create(
                thread_id, "team", input=asked, checkpoint=state["parent_checkpoint"]
            )
        kept: Any = await threads.threads.get_state(thread_id)
    assert refused.value.code == "previous_response_not_found"
    assert [one["content"] for one in kept["values"]["messages"]] == [
        "Hi, I am Ana.",
        "Hello Ana.",
        "It is me.",
        "Hello again.",
    ]
