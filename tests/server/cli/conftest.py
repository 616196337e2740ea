"""A program to run, against a scripted endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.openai_endpoint import OpenAIEndpoint
from tests.server.cli.program import Program


@pytest.fixture
def program(folder: Path, tmp_path: Path, openai_endpoint: OpenAIEndpoint) -> Program:
    return Program(
        data_dir=folder / "data",
        home=tmp_path,
        variables={
            "COUNTERPOINT_MODEL_URL": openai_endpoint.url,
            "COUNTERPOINT_MODEL": "double",
            "COUNTERPOINT_MODEL_TOOLS": "native",
        },
    )
