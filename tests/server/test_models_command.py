"""`counterpoint models`: what a person sees while weights come, and what a script reads."""

import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from models import catalogue
from server.commands.models import CHOICES, group
from server.progress import BarProgress, LineProgress, for_console


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTERPOINT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.delenv("COUNTERPOINT_MODELS_FROM", raising=False)
    return tmp_path / "models"


def test_list_names_every_artifact_and_where_it_belongs(folder: Path) -> None:
    result = CliRunner().invoke(group, ["list", "--json"])
    assert result.exit_code == 0, result.output
    listed = json.loads(result.stdout)
    assert listed["folder"] == str(folder)
    assert [item["name"] for item in listed["items"]] == [one.name for one in catalogue.ALL]
    assert {item["state"] for item in listed["items"]} == {"absent"}
    assert {item["licence"] for item in listed["items"]} == {"Apache-2.0"}


def test_list_shows_a_file_that_is_not_what_its_name_says(folder: Path) -> None:
    folder.mkdir()
    (folder / catalogue.EMBEDDER_TOKENIZER.filename).write_text("{}")
    result = CliRunner().invoke(group, ["list"])
    assert result.exit_code == 0, result.output
    assert "damaged" in result.stdout


def test_pull_from_a_folder_without_the_file_fails_in_one_line(
    folder: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(group, ["pull", "chat", "--from-folder", str(tmp_path)])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert catalogue.CHAT.filename in line
    assert catalogue.CHAT.sha256 in line


def test_pull_takes_the_name_that_a_failed_download_tells_to_take_from_a_folder(
    folder: Path, tmp_path: Path
) -> None:
    for artifact in catalogue.ALL:
        asked = ["pull", artifact.name, "--from-folder", str(tmp_path)]
        result = CliRunner().invoke(group, asked)
        assert artifact.sha256 in result.stderr, result.output
        assert not (folder / artifact.filename).exists()


def test_pull_without_a_name_is_what_a_start_needs() -> None:
    assert {one.name for one in catalogue.NEEDED} == {
        "chat",
        "embedder-model",
        "embedder-tokenizer",
    }
    assert set(CHOICES["all"]) == {one for chosen in CHOICES.values() for one in chosen}


def test_a_log_gets_a_first_line_and_one_per_tenth() -> None:
    out = io.StringIO()
    told = for_console(Console(file=out, width=80))
    assert isinstance(told, LineProgress)
    told.start(
        "model.gguf",
        total=2_000_000_000,
        have=500_000_000,
        destination=Path("/models"),
        source="the hub",
    )
    for _ in range(1500):
        told.advance(1_000_000)
    told.done()
    first, *rest = out.getvalue().splitlines()
    assert first == (
        "Fetching model.gguf (2.00 GB, 0.50 GB of it are there already) from the hub to /models"
    )
    assert [line.split(": ")[1].split(" %")[0] for line in rest] == [
        str(percent) for percent in range(30, 101, 10)
    ]


def test_a_terminal_gets_a_bar_that_ends() -> None:
    out = io.StringIO()
    told = for_console(Console(file=out, force_terminal=True, width=80))
    assert isinstance(told, BarProgress)
    told.start("a", total=100, have=0, destination=Path("/m"), source="[the] hub")
    told.advance(100)
    told.done()
    told.done()
    told.note("[bracketed] text stays")
    assert "100%" in out.getvalue()
    assert "[the] hub" in out.getvalue()
    assert "[bracketed] text stays" in out.getvalue()
