"""Names of files are safe, and ids tell their thread."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.artifacts import naming


@pytest.mark.parametrize(
    ("given_name", "safe"),
    [
        ("data.csv", "data.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\me\\Bericht März.xlsx", "Bericht März.xlsx"),
        (".bashrc", "bashrc"),
        ("a\x00b\n.csv", "a_b_.csv"),
        ("", "file"),
        ("..", "file"),
        ("x](javascript:1).png", "x_(javascript_1).png"),
        ("a" * 300 + ".csv", "a" * 116 + ".csv"),
    ],
)
def test_names_are_made_safe(given_name: str, safe: str) -> None:
    assert naming.safe_name(given_name) == safe


@given(st.text())
def test_no_name_leaves_its_folder(name: str) -> None:
    for safe in (naming.safe_name(name), *naming.safe_path(name).split("/")):
        assert safe
        assert safe.isprintable()
        assert not safe.startswith(".")
        assert not set(safe) & set('/\\[]<>"`\n:*')
        assert len(safe.encode()) <= naming.NAME_BYTES


@given(st.text(min_size=1, max_size=80) | st.uuids().map(str))
def test_an_id_tells_its_thread(thread_id: str) -> None:
    made = naming.artifact_id(thread_id=thread_id, origin="run", name="a", sha256="0")
    assert naming.thread_of(made) == thread_id


def test_an_id_of_an_ordinary_thread_is_short() -> None:
    made = naming.artifact_id(
        thread_id=str(uuid.UUID(int=1)), origin="run", name="a", sha256="0" * 64
    )
    assert len(made) <= 46


@pytest.mark.parametrize(
    ("given_type", "safe"),
    [
        ("text/CSV; charset=utf-8", "text/csv"),
        ("text/html\r\nX: y", naming.BYTES),
        ("", naming.BYTES),
    ],
)
def test_media_types_are_plain(given_type: str, safe: str) -> None:
    assert naming.safe_media_type(given_type) == safe
