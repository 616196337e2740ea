"""The tool that searches the web, over doubles of the three HTTP APIs."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import jsonschema
import pytest
from aiohttp import web
from pydantic import SecretStr

from tools.tool import ToolContext, ToolError, ToolResult
from tools.web.errors import SearchError
from tools.web.search_providers import Brave, Provider, SearXNG, Tavily, searching
from tools.web.web_search import SearchWeb, web_search

HERE = ToolContext(tenant="acme", collection="hr", run_id="r", call_id="c")
KEY = "key-that-nobody-may-see"


class Api:
    """A provider's HTTP API. ``status`` and ``body`` are its next answers."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.body: Any = {}
        self.headers: dict[str, str] = {}
        self.got: list[tuple[str, str, dict[str, str], dict[str, str], Any]] = []

    async def take(self, request: web.Request) -> web.StreamResponse:
        sent = await request.read()
        self.got.append(
            (
                request.method,
                request.path,
                dict(request.query),
                {name.lower(): value for name, value in request.headers.items()},
                json.loads(sent) if sent else None,
            )
        )
        if self.body is None:
            await asyncio.Event().wait()
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return web.Response(status=self.status, body=body, headers=self.headers)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    found = Api()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


def provider(name: str, url: str) -> Provider:
    match name:
        case "SearXNG":
            return SearXNG(url=url)
        case "Tavily":
            return Tavily(key=SecretStr(KEY), url=url)
        case _:
            return Brave(key=SecretStr(KEY), url=url)


async def ask(name: str, api: Api, query: str = "otters", **given: Any) -> ToolResult:
    async with searching(provider(name, api.url), agent="Counterpoint/test") as search:
        return await web_search(search, **given).call(SearchWeb(query=query), HERE)


RESULTS: dict[str, Any] = {
    "SearXNG": {
        "results": [
            {"url": "https://a.example/1", "title": "One", "content": "Otters swim."},
            {"url": "https://b.example/2", "title": "Two", "content": "Otters\n eat  fish."},
        ]
    },
    "Tavily": {
        "results": [
            {"url": "https://a.example/1", "title": "One", "content": "Otters swim.", "score": 0.9},
            {"url": "https://b.example/2", "title": "Two", "content": "Otters\neat fish."},
        ]
    },
    "Brave": {
        "web": {
            "results": [
                {
                    "url": "https://a.example/1",
                    "title": "<strong>One</strong>",
                    "description": "<strong>Otters</strong> swim.",
                },
                {
                    "url": "https://b.example/2",
                    "title": "Two",
                    "description": "Otters",
                    "extra_snippets": ["eat fish."],
                },
            ]
        }
    },
}
NAMES = pytest.mark.parametrize("name", list(RESULTS))


@NAMES
async def test_results_are_passages_with_their_urls(name: str, api: Api) -> None:
    api.body = RESULTS[name]
    result = await ask(name, api)
    assert result.content == (
        "[1] One, https://a.example/1\nOtters swim.\n\n"
        "[2] Two, https://b.example/2\nOtters\neat fish."
    )
    assert [(one["source"], one["text"], one["span"]) for one in result.evidence] == [
        ("https://a.example/1", "Otters swim.", None),
        ("https://b.example/2", "Otters\neat fish.", None),
    ]
    # What a model reads of a passage has to hold the URL that it may fetch.
    assert result.evidence[0]["title"] == "One (https://a.example/1)"
    assert len({one["chunk_id"] for one in result.evidence}) == 2


async def test_searxng_is_asked_for_json(api: Api) -> None:
    api.body = RESULTS["SearXNG"]
    await ask("SearXNG", api, "ö & ä")
    [(method, path, query, headers, _)] = api.got
    assert (method, path) == ("GET", "/search")
    assert query == {"q": "ö & ä", "format": "json"}
    assert headers["user-agent"] == "Counterpoint/test"
    assert "cookie" not in headers


async def test_tavily_is_asked_with_its_key_as_bearer(api: Api) -> None:
    api.body = RESULTS["Tavily"]
    await ask("Tavily", api, limit=3)
    [(method, path, _, headers, sent)] = api.got
    assert (method, path, headers["authorization"]) == ("POST", "/search", f"Bearer {KEY}")
    assert sent == {"query": "otters", "max_results": 3, "search_depth": "basic"}


async def test_brave_is_asked_with_its_key_as_token(api: Api) -> None:
    api.body = RESULTS["Brave"]
    await ask("Brave", api, limit=3)
    [(method, path, query, headers, _)] = api.got
    assert (method, path, headers["x-subscription-token"]) == ("GET", "/res/v1/web/search", KEY)
    assert (query["q"], query["count"]) == ("otters", "3")


@NAMES
async def test_nothing_found_is_told(name: str, api: Api) -> None:
    api.body = {} if name == "Brave" else {"results": []}
    result = await ask(name, api)
    assert result.content == "Nothing on the web was found for 'otters'."
    assert result.evidence == ()


async def test_what_can_be_no_source_is_left_out(api: Api) -> None:
    good = {"url": "https://a.example/1", "title": None, "content": "Otters &amp; <b>fish</b>"}
    api.body = {
        "results": [
            {"url": "javascript:alert(1)", "title": "x", "content": "x"},
            {"url": "https://user:pass@a.example/", "title": "x", "content": "x"},
            {"url": "https://c.example/", "title": "x", "content": ""},
            {**good, "url": "HTTPS://A.example:443/1#top"},
            good,
        ]
    }
    [one] = (await ask("SearXNG", api)).evidence
    assert (one["source"], one["text"]) == ("https://a.example/1", "Otters & fish")


async def test_no_more_than_the_limit_is_given(api: Api) -> None:
    api.body = RESULTS["SearXNG"]
    assert len((await ask("SearXNG", api, limit=1)).evidence) == 1


@NAMES
@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (401, {"detail": KEY}, "answered with status 401"),
        (403, {"detail": KEY}, "answered with status 403"),
        (429, {}, "takes no more searches for now"),
        (500, b"", "answered with status 500"),
        (302, b"", "answered with status 302"),
        (200, b"<html>", "answered in a form not known here"),
        (200, {"results": 5, "web": 5}, "answered in a form not known here"),
        (200, {"results": [[]], "web": {"results": ["x"]}}, "answered in a form not known here"),
        (200, {"results": [{}], "web": {"results": [{}]}}, "answered in a form not known here"),
        (200, [], "answered in a form not known here"),
        (200, b"x" * 2_000_001, "answered with too much"),
    ],
)
async def test_a_provider_that_fails_is_told_without_its_key(
    name: str,
    status: int,
    body: Any,
    told: str,
    api: Api,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    api.status, api.body = status, body
    if status == 302:
        api.headers = {"Location": f"{api.url}/elsewhere"}
    with pytest.raises(ToolError, match=f"^The search failed: {name} {told}") as raised:
        await ask(name, api)
    assert len(api.got) == 1
    assert KEY not in str(raised.value) + repr(raised.value) + caplog.text
    assert raised.value.__cause__ is None


async def test_a_provider_that_is_silent_is_told(api: Api) -> None:
    api.body = None
    silent = provider("Tavily", api.url)
    async with searching(silent, agent="Counterpoint/test", seconds=0.1) as search:
        with pytest.raises(SearchError, match=r"Tavily did not answer within 0\.1 seconds"):
            await search.search("otters", limit=5)


async def test_a_provider_that_is_not_there_is_told() -> None:
    api = Api()
    api.url = "http://127.0.0.1:9"
    with pytest.raises(ToolError, match="Tavily cannot be reached") as raised:
        await ask("Tavily", api)
    assert KEY not in str(raised.value)


@NAMES
def test_a_provider_and_what_it_is_asked_show_no_key(name: str) -> None:
    shown = provider(name, "https://x.example")
    assert KEY not in repr(shown) + repr(shown.asking("otters", limit=5))


def test_the_schema_bounds_the_query() -> None:
    parameters = SearchWeb.model_json_schema()
    jsonschema.validate({"query": "x"}, parameters)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"query": "x" * 201}, parameters)
