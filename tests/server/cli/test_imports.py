"""What a command loads: who only asks a server does not wait for what a server is made of."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "aiohttp",
    "charset_normalizer",
    "docket",
    "fastapi",
    "jsonschema",
    "langchain_core",
    "langgraph",
    "numpy",
    "onnxruntime",
    "opentelemetry",
    "qdrant_client",
    "qdrant_edge",
    "redis",
}
CLIENTS = (
    *("ask", "ingest", "search", "documents", "runs", "trace", "threads"),
    *("approvals", "audit", "policy", "key", "models", "down"),
)


def loaded(code: str) -> set[str]:
    """The packages that a Python of its own has after ``code``."""
    told = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def after_each_client() -> dict[str, set[str]]:
    """What is there after each of the commands, loaded one after the other in one process."""
    told = (
        "import importlib, json, sys\nfound = {}\n"
        f"for name in {CLIENTS!r}:\n"
        "    importlib.import_module('server.commands.' + name)\n"
        "    found[name] = sorted({m.partition('.')[0] for m in sys.modules})\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True)
    return {name: set(modules) for name, modules in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_command_that_asks_a_server_loads_nothing_of_one(
    name: str, after_each_client: dict[str, set[str]]
) -> None:
    assert after_each_client[name] & HEAVY == set()


def test_a_configuration_is_read_without_what_it_configures() -> None:
    assert loaded("from server import settings; settings.load()") & HEAVY == set()


def test_an_api_loads_no_model_to_run_itself() -> None:
    found = loaded("from server import app, house")
    assert found & {"onnxruntime", "tokenizers", "lxml", "qdrant_client", "torch"} == set()


def test_slacks_library_is_loaded_by_nobody_without_slack() -> None:
    """It looks for a home folder as it loads, which not every user has."""
    assert loaded("from server import app, house") & {"slack_bolt", "slack_sdk"} == set()
