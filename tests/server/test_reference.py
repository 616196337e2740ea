"""The page of every route needs nothing but this server."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from fastapi import FastAPI

from tests.server.surface import in_process


class References(HTMLParser):
    """What a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del tag
        self.found += [value for name, value in attrs if name in {"src", "href"} and value]


async def test_the_page_refers_to_no_other_host_and_everything_it_names_is_served(
    app: FastAPI,
) -> None:
    async with in_process(app) as client:
        page = await client.get("/docs")
        assert page.status_code == 200
        assert re.findall(r"(?:https?:)?//[\w.-]+\.\w+", page.text) == []
        references = References()
        references.feed(page.text)
        script = re.search(r'url: ["\']([^"\']+)', page.text)
        assert script is not None
        loaded = [*references.found, script[1]]
        assert len(loaded) == 4
        kinds = []
        for name in loaded:
            reply = await client.get(str(page.url.join(name)))
            assert reply.status_code == 200, name
            kinds.append(reply.headers["content-type"].partition(";")[0].rpartition("/")[2])
        assert sorted(kinds) == ["css", "javascript", "json", "png"]
        style = await client.get("/docs/swagger-ui.css")
        assert re.findall(r"url\((?![\"']?data:)", style.text) == []
        assert "@import" not in style.text


async def test_a_browser_is_told_to_ask_nobody_else(app: FastAPI) -> None:
    async with in_process(app) as client:
        page = await client.get("/docs")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "http" not in policy
    assert "*" not in policy
    assert '"validatorUrl": null' in page.text


async def test_only_the_files_of_the_page_are_served(app: FastAPI) -> None:
    async with in_process(app) as client:
        for name in ("redoc.standalone.js", "..%2Fcore.py", "%2e%2e%2fcore.py", "nothing"):
            reply = await client.get(f"/docs/{name}")
            assert reply.status_code == 404, name
        assert "/docs" not in (await client.get("/openapi.json")).json()["paths"]
