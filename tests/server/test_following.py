"""What follows from files that are not where they were: never more than is certain."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import following
from server.files import File, collect
from server.following import Known, Plan

NAMES = [f"docs/{letter}.md" for letter in "abcdef"]


def file(name: str) -> File:
    return File(path=Path("/x") / name, name=name, folder=Path("/x/docs"))


def known(name: str, content: str) -> Known:
    return Known(document_id=f"id of {name}", name=name, content=content)


def planned(now: dict[str, str | None], before: dict[str, str]) -> Plan:
    return following.plan(
        [file(name) for name in now],
        [known(name, content) for name, content in before.items()],
        gone=lambda name: name not in now,
        content=lambda one: now[one.name],
    )


def test_a_file_with_the_content_of_one_that_is_gone_was_renamed() -> None:
    plan = planned(
        {"docs/b.md": "1", "docs/c.md": "3", "docs/kept.md": "4"},
        {"docs/a.md": "1", "docs/gone.md": "2", "docs/kept.md": "4"},
    )
    assert [(old.name, new.name) for old, new in plan.renamed] == [("docs/a.md", "docs/b.md")]
    assert [one.name for one in plan.deleted] == ["docs/gone.md"]


def test_a_folder_that_holds_nothing_deletes_nothing() -> None:
    assert planned({}, {"docs/a.md": "1"}) == Plan()


def test_a_copy_is_no_rename_and_an_unreadable_file_neither() -> None:
    assert planned({"docs/a.md": "1", "docs/b.md": "1"}, {"docs/a.md": "1"}) == Plan()
    plan = planned({"docs/b.md": None}, {"docs/a.md": "1"})
    assert (plan.renamed, [one.name for one in plan.deleted]) == ((), ["docs/a.md"])


@given(
    now=st.dictionaries(st.sampled_from(NAMES), st.sampled_from("123")),
    before=st.dictionaries(st.sampled_from(NAMES), st.sampled_from("123")),
)
def test_each_document_is_kept_renamed_or_deleted_and_each_file_has_one(
    now: dict[str, str], before: dict[str, str]
) -> None:
    plan = planned(dict(now), before)
    renamed = {old.name: new.name for old, new in plan.renamed}
    deleted = {one.name for one in plan.deleted}
    assert not deleted & renamed.keys()
    assert not (deleted | renamed.keys()) & now.keys()
    assert all(before[old] == now[new] and new not in before for old, new in renamed.items())
    assert len(set(renamed.values())) == len(renamed)
    if now:
        assert deleted | renamed.keys() == before.keys() - now.keys()
    else:
        assert plan == Plan()


def test_only_what_is_certainly_not_there_is_gone(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "deep").mkdir(parents=True)
    (docs / "a.md").write_text("x")
    (docs / "link.md").symlink_to(tmp_path / "nowhere")
    assert not following.is_gone(docs, "docs/a.md")
    assert not following.is_gone(docs, "docs/link.md")
    assert not following.is_gone(docs, (docs / "a.md").as_posix().lstrip("/"))
    assert following.is_gone(docs, "docs/b.md")
    assert following.is_gone(docs, "docs/a.md/b.md")
    assert not following.is_gone(docs, "docs/" + "x" * 300), "what cannot be looked at"


def test_a_file_knows_the_folder_that_was_named(tmp_path: Path) -> None:
    (tmp_path / "docs" / "deep").mkdir(parents=True)
    for name in ("docs/a.md", "docs/deep/b.md", "c.md"):
        (tmp_path / name).write_text("x")
    found = collect([tmp_path / "docs", tmp_path / "c.md"])
    assert [one.folder for one in found] == [(tmp_path / "docs").resolve()] * 2 + [None]
    label = following.label(tmp_path / "docs")
    assert label is not None
    assert label.endswith(f":{tmp_path}/docs")


@pytest.mark.parametrize("name", ["a\nb", "x" * 2_000, os.fsdecode(b"\xff")])
def test_a_folder_that_cannot_be_called_anything_is_not_followed(name: str) -> None:
    assert following.label(Path("/") / name) is None
