"""What is sent to Slack, piece by piece, as it was when somebody last looked at it.

``python -m tests.server.slack.test_snapshots`` writes them anew; look at the difference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.server.slack import block_kit, scenes

FOLDER = Path(__file__).parent / "snapshots"
ALL: Mapping[str, Mapping[str, Any]] = {**scenes.MESSAGES, **scenes.VIEWS}


def _written(shown: Mapping[str, Any]) -> str:
    return json.dumps(shown, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("name", ALL)
def test_what_is_sent_is_what_it_was(name: str) -> None:
    kept = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert json.loads(_written(ALL[name])) == json.loads(kept)


@pytest.mark.parametrize("name", ALL)
def test_what_is_sent_is_within_the_limits_of_slack(name: str) -> None:
    if name in scenes.VIEWS:
        block_kit.view(ALL[name])
    else:
        block_kit.message(ALL[name])


def test_no_snapshot_is_left_of_what_is_gone() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(ALL)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, shown in ALL.items():
        (FOLDER / f"{name}.json").write_text(_written(shown), encoding="utf-8")
