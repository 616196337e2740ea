"""Terminals that do not speak UTF-8, or to which somebody pastes what is none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from server.exits import Exit
from tests.server.cli.program import Program


async def test_a_terminal_without_a_letter_is_shown_its_number(
    program: Program, tmp_path: Path
) -> None:
    """Each such letter, a curly quotation mark too, ended the command within its answer."""
    latin = replace(program, variables={**program.variables, "PYTHONIOENCODING": "latin-1"})
    page = tmp_path / "日本.md"
    page.write_text("# 日本\n\nNobody may keep a hamster in the office.", "utf-8")
    added = await latin.run("ingest", str(page), alone=True)
    assert added.code == Exit.OK, added.err
    found = await latin.run("search", "hamster", "--json", alone=True)
    assert found.code == Exit.OK, found.err
    assert json.loads(found.out)["hits"][0]["title"] == "日本"
    shown = await latin.run("search", "hamster", alone=True)
    assert r"\u65e5\u672c" in shown.out


async def test_json_is_json_on_such_a_terminal_too(program: Program) -> None:
    latin = replace(program, variables={**program.variables, "PYTHONIOENCODING": "latin-1"})
    code = 'print("gr\\u00fcn \\U0001f600")'
    ended = await latin.run("sandbox", "run", "--json", "-", alone=True, stdin=code.encode())
    assert json.loads(ended.out)["stdout"] == "grün 😀\n"


async def test_a_word_that_is_no_utf_8_is_a_wrong_usage(program: Program) -> None:
    ended = await program.run("search", "caf\udce9", alone=True)
    assert ended.code == Exit.USAGE
    assert "not written in UTF-8; set the terminal to UTF-8" in ended.err.splitlines()[-1]
