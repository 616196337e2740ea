"""How a Qdrant server is reached."""

from __future__ import annotations

import pytest

from tests.models.doubles import Behaviour, file_server
from tools.retrieval.errors import StoreError
from tools.retrieval.server_store import ServerStore


async def test_a_qdrant_in_the_house_is_not_asked_through_the_proxy_for_the_world_outside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was, while `doctor` went round the proxy and found it well."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    old = Behaviour(files={"/": b'{"title": "qdrant", "version": "1.0.0"}'})
    with file_server(old) as url, pytest.raises(StoreError, match=r"Qdrant 1\.0\.0 cannot weigh"):
        await ServerStore.open(url, embedder="e", dimension=4)
