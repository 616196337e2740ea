"""Search over HTTP and from the command line: options, filters, explanations."""

from __future__ import annotations

import importlib.util
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import click
import pytest
from fastapi import FastAPI
from pydantic import ValidationError

from models.artifacts import WeightsError
from server import reading_models
from server.commands import search as command
from server.routes.search import OptionsRequest, SearchRequest
from server.search_section import SearchSettings
from server.settings import Settings
from tests.server.surface import in_process
from tools.retrieval.fusion import Fusion
from tools.retrieval.options import SearchOptions


def test_options_of_a_request_stand_over_those_of_the_settings() -> None:
    settings = SearchSettings(search_fusion=Fusion.RRF, search_rrf_k=7).search_options()
    assert OptionsRequest().over(settings) == settings
    asked = OptionsRequest(fusion=Fusion.DBSF, rerank=False, diversity=0.2).over(settings)
    assert asked == SearchOptions(fusion=Fusion.DBSF, rrf_k=7, rerank=False, diversity=0.2)


@pytest.mark.parametrize(
    "wrong",
    [{"fusion": "sum"}, {"diversity": 2}, {"candidates": 0}, {"per_document": 0}, {"wieght": 1}],
)
def test_an_option_that_cannot_be_is_refused_by_its_name(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SearchRequest.model_validate({"query": "x", "options": wrong})


def test_options_that_travel_arrive_as_they_were() -> None:
    sent = SearchOptions(weight=0.3, complete=False, per_document=2, rerank_seconds=1.5)
    arrived = OptionsRequest.model_validate(sent.to_json()).over(SearchOptions())
    assert arrived == sent


def test_the_plain_settings_are_the_plain_options() -> None:
    assert SearchSettings().search_options() == SearchOptions()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"embedder": "remote", "embedder_model": "m"}, "embedder_url"),
        ({"embedder": "sentence-transformers"}, "embedder_model"),
        ({"reranker": "cross-encoder"}, "reranker_model"),
        ({"reranker_url": "http://x"}, "reranker_url"),
    ],
)
def test_a_model_without_its_name_or_url_is_refused(wrong: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SearchSettings.model_validate(wrong)


def test_filters_of_the_command_line_are_those_of_the_api() -> None:
    given = ("team=red,blue", "year=2020..2024", "day=2024-01-01..", "n=..5", "ok=true", 'id="7"')
    assert command.parsed(given) == {
        "team": ["red", "blue"],
        "year": {"gte": 2020, "lte": 2024},
        "day": {"gte": "2024-01-01"},
        "n": {"lte": 5},
        "ok": True,
        "id": "7",
    }
    for wrong in ("team", "=x", "team="):
        with pytest.raises(click.BadParameter, match="FIELD=VALUE"):
            command.parsed((wrong,))
    with pytest.raises(click.BadParameter, match="twice"):
        command.parsed(("a=1", "a=2"))


async def test_a_search_tells_its_stages_where_it_is_asked_to(app: FastAPI) -> None:
    texts = [{"title": f"day {day}", "text": f"holiday {day}"} for day in range(3)]
    async with in_process(app) as client:
        added = await client.post("/documents", json={"documents": texts, "collection": "hr"})
        assert added.status_code == 200, added.text
        query = {"query": "holiday", "collection": "hr", "explain": True}
        told = (await client.post("/documents/search", json=query)).json()
        assert len(told["hits"]) == 3
        stages = {stage["name"]: stage for stage in told["explain"]["stages"]}
        assert list(stages) == ["embedding", "lookup", "fusion", "rerank"]
        assert stages["lookup"]["candidates"] == 3
        assert told["explain"]["ms"] >= 0
        asked = {**query, "options": {"mode": "bm25", "rerank": False, "diversity": 0.4}}
        told = (await client.post("/documents/search", json=asked)).json()
        skipped = {stage["name"]: stage["skipped"] for stage in told["explain"]["stages"]}
        assert skipped["embedding"] == "the mode is bm25"
        assert skipped["rerank"] == "not asked for"
        assert skipped["diversity"] is None
        two = {**query, "query": "What is the first holiday of all, and who pays for that day?"}
        for options, parts in (({}, True), ({"fusion": "rrf"}, True), ({"parts": False}, False)):
            told = (await client.post("/documents/search", json={**two, "options": options})).json()
            assert ("parts" in {one["name"] for one in told["explain"]["stages"]}) is parts
        wrong = {**query, "options": {"fusion": "sum"}}
        refused = await client.post("/documents/search", json=wrong)
        assert refused.status_code == 422
        assert "options.fusion" in refused.json()["detail"]


async def test_the_settings_choose_the_reranker(tmp_path: Path) -> None:
    chosen: tuple[tuple[dict[str, Any], str, int], ...] = (
        ({"reranker": "none"}, "none", 0),
        ({}, "features", 50),
        (
            {
                "reranker": "remote",
                "reranker_model": "m",
                "reranker_url": "http://127.0.0.1:9/v1",
                "reranker_depth": 7,
            },
            "m",
            7,
        ),
    )
    for given, name, depth in chosen:
        configured = Settings(data_dir=tmp_path, **given)
        async with AsyncExitStack() as stack:
            made = await reading_models.reranker(configured, stack)
            assert (made.name, made.depth) == (name, depth)


@pytest.mark.skipif(
    importlib.util.find_spec("sentence_transformers") is not None,
    reason="the extra is installed",
)
async def test_what_needs_the_extra_says_so(tmp_path: Path) -> None:
    configured = Settings(
        data_dir=tmp_path,
        reranker="cross-encoder",
        reranker_model="r",
        embedder="sentence-transformers",
        embedder_model="e",
    )
    async with AsyncExitStack() as stack:
        with pytest.raises(WeightsError, match=r"reranker r needs .*pip install.*\[local-models\]"):
            await reading_models.reranker(configured, stack)
        with pytest.raises(WeightsError, match=r"embedder e needs .*pip install.*\[local-models\]"):
            await reading_models.embedder(configured, stack)
