"""The long-term store over HTTP: by hand, and with both unmodified clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from langgraph_sdk import get_client, get_sync_client
from langgraph_sdk.client import LangGraphClient

from server.sections import KeySettings
from tests.server.surface import Parts, configured, hashed, in_process, served

ANN = ["users", "ann"]


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(app) as client:
        yield client


@pytest.fixture
async def url(app: FastAPI) -> AsyncIterator[str]:
    async with served(app) as found:
        yield found


@pytest.fixture
async def client(url: str) -> AsyncIterator[LangGraphClient]:
    async with get_client(url=url, api_key=None) as made:
        yield made


async def test_the_client_stores_reads_replaces_and_deletes(client: LangGraphClient) -> None:
    store = client.store
    await store.put_item(ANN, key="likes", value={"food": "pizza"})
    first = await store.get_item(ANN, key="likes")
    assert first["namespace"] == ANN
    assert first["key"] == "likes"
    assert first["value"] == {"food": "pizza"}
    await store.put_item(ANN, key="likes", value={"food": "soup"}, index=False, ttl=60)
    second = await store.get_item(ANN, key="likes", refresh_ttl=True)
    assert second["value"] == {"food": "soup"}
    assert second["created_at"] == first["created_at"]
    assert second["updated_at"] > first["updated_at"]
    await store.delete_item(ANN, key="likes")
    # The JavaScript client gives its caller this null; an error it would throw.
    assert await store.get_item(ANN, key="likes") is None
    await store.delete_item(ANN, key="likes")


async def test_the_client_searches_and_lists_namespaces(client: LangGraphClient) -> None:
    store = client.store
    for number in range(5):
        value = {"number": number, "even": number % 2 == 0}
        await store.put_item([*ANN, "notes"], key=str(number), value=value, index=["number"])
    await store.put_item(["users", "bob", "notes"], key="b", value={})
    found = (await store.search_items(ANN))["items"]
    assert [item["key"] for item in found] == ["4", "3", "2", "1", "0"]
    even = (await store.search_items(ANN, filter={"even": True}, limit=2, offset=1))["items"]
    assert [item["key"] for item in even] == ["2", "0"]
    more = await store.search_items(ANN, filter={"number": {"$gte": 3}}, refresh_ttl=True)
    assert [item["key"] for item in more["items"]] == ["4", "3"]
    assert (await store.search_items(["nobody"], query="x")) == {"items": []}
    every = await store.list_namespaces()
    assert every == {"namespaces": [["users", "ann", "notes"], ["users", "bob", "notes"]]}
    assert await store.list_namespaces(prefix=["users", "bob"]) == {
        "namespaces": [["users", "bob", "notes"]]
    }
    assert await store.list_namespaces(suffix=["notes"], limit=1, offset=1) == {
        "namespaces": [["users", "bob", "notes"]]
    }
    assert await store.list_namespaces(prefix=["users", "*"], max_depth=1) == {
        "namespaces": [["users"]]
    }


async def test_the_synchronous_client_does_the_same(url: str) -> None:
    def use() -> Any:
        with get_sync_client(url=url, api_key=None) as client:
            store = client.store
            store.put_item(ANN, key="k", value={"a": [1, None]}, ttl=5)
            found = store.get_item(ANN, key="k")
            items = store.search_items([], filter={"a": [1, None]}, limit=1, offset=0)["items"]
            spaces = store.list_namespaces(prefix=["users"], max_depth=2)
            store.delete_item(ANN, key="k")
            gone = store.search_items(ANN)["items"]
            return found["value"], [item["key"] for item in items], spaces, gone

    value, keys, spaces, gone = await asyncio.to_thread(use)
    assert value == {"a": [1, None]}
    assert keys == ["k"]
    assert spaces == {"namespaces": [ANN]}
    assert gone == []


async def test_what_a_graph_stores_is_what_a_client_reads(
    client: LangGraphClient, parts: Parts
) -> None:
    await parts.store.aput(("graph", "memory"), "k", {"said": "hello"})
    assert (await client.store.get_item(["graph", "memory"], key="k"))["value"] == {"said": "hello"}


async def test_a_tenant_sees_only_its_own(parts: Parts) -> None:
    keys = tuple(KeySettings(name=one, tenant=one, sha256=hashed(one)) for one in ("a", "b"))
    app = configured(parts, keys=keys)
    async with in_process(app) as http:
        body = {"namespace": ANN, "key": "k", "value": {"secret": 1}}
        made = await http.put("/store/items", json=body, headers={"x-api-key": "a"})
        assert made.status_code == 204
        params = {"namespace": "users.ann", "key": "k"}
        mine = await http.get("/store/items", params=params, headers={"x-api-key": "a"})
        assert mine.json()["value"] == {"secret": 1}
        other = {"x-api-key": "b"}
        assert (await http.get("/store/items", params=params, headers=other)).json() is None
        assert (await http.post("/store/namespaces", headers=other)).json() == {"namespaces": []}
        found = await http.post("/store/items/search", json={}, headers=other)
        assert found.json() == {"items": []}


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"key": "k", "value": {}}, "namespace is missing"),
        ({"namespace": [], "key": "k", "value": {}}, "namespace:"),
        ({"namespace": ["a.b"], "key": "k", "value": {}}, "namespace.0:"),
        ({"namespace": ["a", ""], "key": "k", "value": {}}, "namespace.1:"),
        ({"namespace": ["a\u001fb"], "key": "k", "value": {}}, "namespace.0:"),
        ({"namespace": ["langgraph"], "key": "k", "value": {}}, "namespace:"),
        ({"namespace": ["a"] * 33, "key": "k", "value": {}}, "namespace:"),
        ({"namespace": ["a" * 300], "key": "k", "value": {}}, "namespace.0:"),
        ({"namespace": "a", "key": "k", "value": {}}, "namespace:"),
        ({"namespace": ["a"], "value": {}}, "key is missing"),
        ({"namespace": ["a"], "key": "", "value": {}}, "key:"),
        ({"namespace": ["a"], "key": "k" * 2000, "value": {}}, "key:"),
        ({"namespace": ["a"], "key": "k"}, "value is missing"),
        ({"namespace": ["a"], "key": "k", "value": "text"}, "value:"),
        ({"namespace": ["a"], "key": "k", "value": {"n": 2**70}}, "value:"),
        ({"namespace": ["a"], "key": "k", "value": {}, "index": True}, "index."),
        ({"namespace": ["a"], "key": "k", "value": {}, "ttl": 0}, "ttl:"),
    ],
)
async def test_a_wrong_field_is_named(
    http: httpx.AsyncClient, body: dict[str, Any], names: str
) -> None:
    answer = await http.put("/store/items", json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(names)


@pytest.mark.parametrize(
    ("path", "body", "names"),
    [
        ("/store/items/search", {"limit": 0}, "limit:"),
        ("/store/items/search", {"offset": -1}, "offset:"),
        ("/store/items/search", {"namespace_prefix": ["a.b"]}, "namespace_prefix.0:"),
        ("/store/items/search", {"filter": []}, "filter:"),
        ("/store/namespaces", {"max_depth": 0}, "max_depth:"),
        ("/store/namespaces", {"suffix": [1]}, "suffix.0:"),
    ],
)
async def test_a_search_that_cannot_be_made_is_refused(
    http: httpx.AsyncClient, path: str, body: dict[str, Any], names: str
) -> None:
    answer = await http.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(names)


async def test_an_unknown_operator_of_a_filter_names_the_filter(http: httpx.AsyncClient) -> None:
    await http.put("/store/items", json={"namespace": ["a"], "key": "k", "value": {"n": 1}})
    answer = await http.post("/store/items/search", json={"filter": {"n": {"$near": 1}}})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("filter:")


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"key": "k"}, "namespace is missing"),
        ({"namespace": "a"}, "key is missing"),
        ({"namespace": "a..b", "key": "k"}, "namespace.1:"),
        ({"namespace": "", "key": "k"}, "namespace.0:"),
    ],
)
async def test_a_read_that_names_no_item_is_refused(
    http: httpx.AsyncClient, params: dict[str, str], names: str
) -> None:
    answer = await http.get("/store/items", params=params)
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(names)


async def test_an_item_goes_when_its_time_is_over_and_is_swept_by_the_next_write(
    http: httpx.AsyncClient, parts: Parts
) -> None:
    brief = {"namespace": ["a"], "key": "brief", "value": {}, "ttl": 0.0001}
    await http.put("/store/items", json=brief)
    params = {"namespace": "a", "key": "brief", "refresh_ttl": "false"}
    async with asyncio.timeout(30):
        while (await http.get("/store/items", params=params)).json() is not None:
            pass
    await http.put("/store/items", json={"namespace": ["b"], "key": "k", "value": {}})
    assert await parts.store.sweep() == 0
    assert await parts.store.alist_namespaces() == [("b",)]
