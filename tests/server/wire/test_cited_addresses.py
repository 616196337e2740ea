"""What a citation's address leads to: the document, from wherever the answer is shown."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI

from graphs import events
from tests.server.surface import ANSWER, USAGE, Team, in_process

ASKED: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "How many days?"}]},
    "/v1/responses": {"input": "How many days?"},
}


def noted(path: str, answered: dict[str, Any]) -> list[str]:
    if path == "/v1/responses":
        return [one["url"] for one in answered["output"][-1]["content"][0]["annotations"]]
    message = answered["choices"][0]["message"]
    return [one["url_citation"]["url"] for one in message["annotations"]]


def citation(document_id: str, *, source: str) -> events.Citation:
    return events.Citation(
        number=1,
        start=0,
        end=5,
        document_id=document_id,
        chunk_id=f"{document_id}#0",
        source=source,
        span=(0, 4),
        text="x",
    )


async def ingested(client: Any, collection: str) -> str:
    document = {"text": "30 days.", "name": "leave.md"}
    sent = {"collection": collection, "documents": [document]}
    told = await client.post("/documents", json=sent)
    return str(told.json()["results"][0]["document_id"])


@pytest.mark.parametrize("path", list(ASKED))
async def test_it_leads_in_full_to_the_document_in_its_collection(
    app: FastAPI, team: Team, path: str
) -> None:
    async with in_process(app) as client:
        document_id = await ingested(client, "hr")
        page = citation("web", source="https://docs.example.com/leave")
        team.end = events.RunFinished(
            answer=ANSWER,
            citations=[citation(document_id, source="leave.md"), page],
            stop_reason="answered",
            usage=USAGE,
        )
        asked = {"model": "counterpoint", "collection": "hr", **ASKED[path]}
        answered = await client.post(path, json=asked)
        assert answered.status_code == 200, answered.text
        url, outside = noted(path, answered.json())
        found = await client.get(url)
    assert url.startswith(str(client.base_url).rstrip("/") + "/documents/")
    assert url.endswith("#char=0,4")
    assert (found.status_code, found.json()["document_id"]) == (200, document_id)
    assert outside == "https://docs.example.com/leave"


@pytest.mark.parametrize("path", list(ASKED))
@pytest.mark.parametrize(
    ("said", "scheme"),
    [("https", "https"), ("HTTPS, http", "https"), ("http", "http"), ("javascript", "http")],
)
async def test_it_leads_back_through_the_tls_of_a_proxy(
    app: FastAPI, team: Team, path: str, said: str, scheme: str
) -> None:
    team.end = events.RunFinished(
        answer=ANSWER,
        citations=[citation("doc", source="leave.md")],
        stop_reason="answered",
        usage=USAGE,
    )
    async with in_process(app) as client:
        asked = {"model": "counterpoint", **ASKED[path]}
        answered = await client.post(path, json=asked, headers={"X-Forwarded-Proto": said})
        host = client.base_url.netloc.decode()
    (url,) = noted(path, answered.json())
    assert url.startswith(f"{scheme}://{host}/documents/doc?")


async def test_a_file_of_the_chat_is_led_to_in_the_chats_own_collection(
    app: FastAPI, team: Team
) -> None:
    given = "u" + "A" * 22 + "." + "B" * 22
    team.end = events.RunFinished(
        answer=ANSWER,
        citations=[citation(given, source="a.md")],
        stop_reason="answered",
        usage=USAGE,
    )
    path = "/v1/chat/completions"
    async with in_process(app) as client:
        answered = await client.post(path, json={"model": "counterpoint", **ASKED[path]})
    (url,) = noted(path, answered.json())
    assert url.endswith(f"/documents/{given}#char=0,4")
