"""The conventions of the house, as tests: what CONTRIBUTING says is what stands here."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
from pathlib import Path

import pytest

from server import settings_table
from server.settings import Settings

ROOT = Path(__file__).parent.parent
ROOMS = ("guardrails", "models", "tools", "agents", "graphs", "server", "evals")
LONGEST = 400
# Files over the limit, with their length when listed; an entry may only shrink or go.
EXCEPTIONS: dict[str, int] = {}
NAMELESS = {"utils", "core", "common", "helpers", "services", "base"}


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    return [ROOT / name for name in listed if name and (ROOT / name).exists()]


SOURCES = tracked("*.py")


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_is_our_folder_and_not_a_package_from_the_index(room: str) -> None:
    """openai-agents and guardrails-ai install top-level packages of these names."""
    module = importlib.import_module(room)
    assert module.__file__ is not None
    assert Path(module.__file__).parent == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_says_in_one_sentence_what_it_is(room: str) -> None:
    text = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text("utf-8")))
    assert text, room
    assert "\n" not in text.strip()
    assert text.endswith(".")


def test_a_file_fits_in_one_reading() -> None:
    over = {
        str(path.relative_to(ROOT)): lines
        for path in SOURCES
        if (lines := len(path.read_text("utf-8").splitlines())) > LONGEST
    }
    assert {name: n for name, n in over.items() if n > EXCEPTIONS.get(name, LONGEST)} == {}
    assert set(EXCEPTIONS) <= set(over), "an exception that is no longer needed has to go"


def test_a_file_is_named_for_the_noun_that_it_defines() -> None:
    assert [path for path in SOURCES if {path.stem, path.parent.name} & NAMELESS] == []


def test_the_environment_is_read_in_one_place() -> None:
    allowed = {ROOT / "server" / "settings.py"}
    readers = []
    for path in SOURCES:
        if path.relative_to(ROOT).parts[0] not in ROOMS or path in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
                readers.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert readers == []


def test_names_are_not_taken_out_of_the_rooms_that_share_theirs_with_packages() -> None:
    """`from agents import X` would silently take X from openai-agents where that is installed."""
    allowed = {
        path.stem for room in ("agents", "guardrails") for path in (ROOT / room).glob("*.py")
    }
    taken = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in {"agents", "guardrails"}:
                taken += [f"{path}: {n.name}" for n in node.names if n.name not in allowed]
    assert taken == []


def test_the_page_of_settings_is_the_settings() -> None:
    """Made by `python -m server.settings_table docs/configuration.md`."""
    assert (ROOT / "docs" / "configuration.md").read_text("utf-8") == settings_table.page()
    assert all(field.description for field in Settings.model_fields.values())


def test_nothing_here_speaks_of_the_machine_that_it_was_made_on() -> None:
    here = str(ROOT)
    found = [
        str(path.relative_to(ROOT))
        for path in tracked("*.py", "*.md", "*.toml", "Makefile", "*.sh", "*.yml")
        if here in path.read_text("utf-8", errors="replace")
    ]
    assert found == []


def test_every_make_target_is_told_in_the_readme_or_in_contributing() -> None:
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    told = (ROOT / "README.md").read_text("utf-8") + (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    assert [target for target in targets if f"make {target}" not in told] == []
