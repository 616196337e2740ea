"""Source code parted at its definitions."""

from __future__ import annotations

import pytest

from tests.tools.retrieval.test_parse import read
from tools.retrieval.documents import Kind

PYTHON = '''"""A module."""

import os

# Why f is here.
@cached
def f():
    return 1


async def g():

    def inner():
        pass

class A:
    pass
'''
GO = """package main

import (
\t"os"
)

// F does.
func F() int {
\treturn 1
}
func G() {}
"""
C = """#include <x.h>

static int f(int a,
             int b)
{
  return g(a);
}

int g(int a) {
}
"""
TYPESCRIPT = "const a = 1\n\nexport const f = async () => {\n}\n"


@pytest.mark.parametrize(
    ("name", "source", "starts", "language"),
    [
        ("a.py", PYTHON, ['"""A', "# Why", "async def g", "class A"], "python"),
        ("a.go", GO, ["package", "// F does", "func G"], "go"),
        ("a.c", C, ["#include", "static int f", "int g"], "c"),
        ("a.rs", "use x;\n\n#[test]\npub fn f() {}\n", ["use", "#[test]"], "rust"),
        (
            "a.ts",
            "const a = 1\n\nexport const f = async () => {\n}\n",
            ["const a", "export"],
            "typescript",
        ),
        ("a.json", '{"def": 1}', ["{"], "json"),
    ],
)
def test_code_is_parted_before_its_definitions(
    name: str, source: str, starts: list[str], language: str
) -> None:
    parsed = read(source.encode(), name=name)
    assert parsed.media_type == f"text/x-{language}"
    assert {one.kind for one in parsed.sections} == {Kind.CODE}
    assert len(parsed.sections) == len(starts)
    for section, start in zip(parsed.sections, starts, strict=True):
        assert section.text.startswith(start)
    words = source.split()
    assert parsed.text.split() == words
