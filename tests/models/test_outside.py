"""How a service is reached: the operator's proxy is for the world outside alone."""

from __future__ import annotations

import os

import httpx
import pytest

from models import outside

OPENAI = "https://api.openai.com/v1"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"https_proxy": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "http://proxy.example:3128"),
        ({"ALL_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128"),
        # As a desktop sets them: the second is not needed, and httpx stops at it.
        (
            {"https_proxy": "http://127.0.0.1:8080", "ALL_PROXY": "socks://127.0.0.1:1080"},
            "http://127.0.0.1:8080",
        ),
        # As a cluster sets it: httpx stops at the network.
        (
            {"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": "localhost,::1,fe80::/10,10.0.0.0/8"},
            "http://proxy:1",
        ),
        ({"HTTPS_PROXY": "http://proxy:1", "NO_PROXY": ".openai.com"}, None),
        ({"HTTP_PROXY": "http://proxy:1"}, None),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
async def test_the_proxy_is_the_one_for_this_url_whatever_else_is_set(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], proxy: str | None
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert outside.proxy_for(OPENAI) == proxy
    async with httpx.AsyncClient(**outside.options(OPENAI)):
        pass


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9000/v1", "http://vllm:8000/v1", "http://10.0.0.5:8000"]
)
def test_what_is_in_the_house_is_never_reached_through_a_proxy(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.example:1080")
    assert outside.options(url) == {"proxy": None, "verify": True, "trust_env": False}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ALL_PROXY", "socks5://me:hunter2@127.0.0.1:1080", "ALL_PROXY names a proxy that speaks"),
        ("HTTPS_PROXY", "socks://me:hunter2@127.0.0.1", "HTTPS_PROXY names a proxy that speaks"),
        ("HTTPS_PROXY", "http://me:hunter2@proxy:abc", "HTTPS_PROXY is no URL of a proxy"),
    ],
)
def test_a_proxy_that_cannot_be_spoken_to_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(httpx.ProxyError, match=r"list api\.openai\.com in NO_PROXY") as caught:
        outside.options(OPENAI)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)
