"""What tests of the web share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def awkward() -> Path:
    """The folder of awkward documents, which is no part of the repository."""
    folder = Path(__file__).parents[4] / "shared" / "data" / "docs"
    if not folder.is_dir():
        pytest.skip("the awkward documents are not on this machine (../shared/data/docs)")
    return folder
