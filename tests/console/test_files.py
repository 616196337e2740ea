"""The console's files: what they may do, and that they are what their makers published."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import httpx
import pytest

from server.routes import console
from tests.console.office import Office

STATIC = console.folder()
TESTS = Path(__file__).parent
ROOT = TESTS.parent.parent
OURS = [
    one
    for one in STATIC.rglob("*")
    if one.is_file() and "vendor" not in one.relative_to(STATIC).parts
]
LONGEST = 400


@pytest.fixture
async def client(office: Office) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=office.url, trust_env=False, timeout=30)


@pytest.mark.parametrize("folder", [STATIC / "vendor", TESTS / "vendor"])
def test_what_others_made_is_as_they_published_it(folder: Path) -> None:
    """To renew one: `npm pack NAME`, copy its files as they are, write version and hashes here."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    listed = {name: sha for part in manifest.values() for name, sha in part["files"].items()}
    there = {
        one.relative_to(folder).as_posix(): hashlib.sha256(one.read_bytes()).hexdigest()
        for one in folder.rglob("*")
        if one.is_file() and one.name != "manifest.json"
    }
    assert there == listed
    for name, part in manifest.items():
        assert part["version"], name
        assert part["licence"], name
        assert f"{name}/LICENSE" in part["files"]


def test_every_file_of_the_console_is_delivered() -> None:
    """What git ignores would be missing in a wheel."""
    ignored = subprocess.run(
        ["git", "check-ignore", *map(str, STATIC.rglob("*"))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""


def test_a_file_of_the_console_fits_in_one_reading() -> None:
    over = [one.name for one in OURS if len(one.read_text("utf-8").splitlines()) > LONGEST]
    assert over == []


def test_nothing_of_ours_makes_markup_of_text_or_asks_another_server() -> None:
    """Trusted types would refuse it as well; this says so earlier."""
    forbidden = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|unsafeHTML|"
        r"""<script(?![^>]*\bsrc=)|\son\w+=["']|\sstyle=|(src|href|url|import)\W{1,3}(https?:)?//"""
    )
    found = {
        one.name: hit.group()
        for one in OURS
        if (hit := forbidden.search(one.read_text("utf-8"))) is not None
    }
    assert found == {}


@pytest.mark.parametrize("path", ["/console", "/console/approvals"])
async def test_the_pages_hold_no_data_and_need_no_key(client: httpx.AsyncClient, path: str) -> None:
    async with client:
        page = await client.get(path)
        data = await client.get("/approvals")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert data.status_code == 401


@pytest.mark.parametrize(
    "path", ["/console", "/console/approvals", "/console/static/js/approvals.js"]
)
async def test_the_browser_is_told_to_trust_nothing_but_our_files(
    client: httpx.AsyncClient, path: str
) -> None:
    async with client:
        headers = (await client.get(path)).headers
    policy = dict(
        part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


async def test_files_say_what_they_are_and_are_asked_for_anew(client: httpx.AsyncClient) -> None:
    async with client:
        script = await client.get("/console/static/js/approvals.js")
        again = await client.get(
            "/console/static/js/approvals.js", headers={"If-None-Match": script.headers["etag"]}
        )
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    assert script.headers["cache-control"] == "no-cache"
    assert again.status_code == 304


@pytest.mark.parametrize("path", ["../../../pyproject.toml", "%2e%2e/%2e%2e/__init__.py", "no.js"])
async def test_nothing_but_the_files_is_served(client: httpx.AsyncClient, path: str) -> None:
    async with client:
        missing = await client.get(f"/console/static/{path}")
    assert missing.status_code in {401, 404}
    assert "detail" in missing.json()


async def test_a_slash_at_the_end_leads_to_the_landing(client: httpx.AsyncClient) -> None:
    async with client:
        found = await client.get("/console/", follow_redirects=True)
    assert found.url.path == "/console"
    assert "console/approvals" in found.text
