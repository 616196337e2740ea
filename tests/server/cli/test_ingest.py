"""`counterpoint ingest`: what can be read goes in, what cannot is named with its remedy."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from server import files, ingesting
from tests.server.cli.program import Program
from tests.tools.retrieval.making import pdf
from tests.tools.web.site import page, serving
from tools.web.addresses import AddressError

PICTURE = page(b"\x89PNG", media_type="image/png")
ALLOWED = {"COUNTERPOINT_WEB_ALLOW": '["127.0.0.1"]'}


def bad_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "locked.pdf").write_bytes(pdf("secret", password="x"))
    (folder / "empty.md").write_bytes(b"")
    (folder / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
    (folder / "cut.docx").write_bytes(b"PK\x03\x04 and then nothing")


async def test_an_ingest_goes_on_past_what_it_cannot_read(program: Program, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    bad_files(docs)
    (docs / "deep").mkdir()
    (docs / "deep" / "good.md").write_text("# Rooms\n\nThe blue room seats 12 people.\n")
    (docs / ".hidden.md").write_text("not for anybody")
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    async with program.up() as running:
        url = await running.ready()

        first = await program.run("ingest", str(docs))
        assert first.code == 4
        assert "added 1, unchanged 0, updated 0, skipped 4 (collection default)" in first.out
        for name, remedy in {
            "docs/locked.pdf": "password",
            "docs/empty.md": "empty",
            "docs/picture.png": "PDF, DOCX",
            "docs/cut.docx": "copy",
        }.items():
            (line,) = [one for one in first.err.splitlines() if one.startswith(f"skipped {name}:")]
            assert remedy in line.lower() or remedy in line, line

        second = await program.run("ingest", str(docs / "deep"), str(docs), "--json")
        assert second.code == 4
        statuses = {item["name"]: item["status"] for item in json.loads(second.out)["items"]}
        assert statuses.pop("deep/good.md") == "added", "named from the folder that was given"
        assert set(statuses.values()) == {"failed"}

        listed = await program.run("documents", "list", "--json", "--url", url)
        (deep, whole) = sorted(json.loads(listed.out)["items"], key=lambda one: one["source"])
        assert (deep["source"], whole["source"]) == ("deep/good.md", "docs/deep/good.md")
        assert (await program.run("documents", "delete", deep["document_id"])).code == 0
        gone = await program.run("documents", "delete", deep["document_id"])
        assert (gone.code, len(gone.err.splitlines())) == (2, 1)

        found = await program.run("search", "how many people in the blue room")
        assert found.code == 0
        assert "docs/deep/good.md, Rooms" in found.out
        assert "seats 12 people" in found.out

        (docs / "deep" / "good.md").unlink()
        assert (await program.run("ingest", str(docs))).code == 1
        for path, words in ((nothing, "holds no files"), (tmp_path / "no", "does not exist")):
            ended = await program.run("ingest", str(path))
            assert (ended.code, len(ended.err.splitlines())) == (2, 1)
            assert words in ended.err


async def test_files_of_any_name_go_in_once(program: Program, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    for name in (b"caf\xe9.md", b'say "hi".md', b"a\tb.md", b"x#1?y%20.md", b"back\\slash.md"):
        (docs / os.fsdecode(name)).write_bytes(b"Words of " + name.hex().encode())
    async with program.up() as running:
        await running.ready()
        assert "added 5" in (await program.run("ingest", str(docs))).out
        again = await program.run("ingest", str(docs))
        assert again.out.startswith("added 0, unchanged 5, updated 0, skipped 0 (")
        listed = await program.run("documents", "list", "--json")
        assert {one["source"] for one in json.loads(listed.out)["items"]} == {
            "docs/café.md",
            'docs/say "hi".md',
            "docs/ab.md",
            "docs/x#1?y%20.md",
            "docs/back/slash.md",
        }


def test_files_are_found_in_order_and_once_and_not_beyond_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("b.md", "a/c.md", ".git/config", "a/.draft.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (tmp_path / "outside.md").write_text("private")
    (root / "leak.md").symlink_to(tmp_path / "outside.md")
    (root / "again").symlink_to(root)
    (root / "inside.md").symlink_to(root / "b.md")
    found = files.collect([root, root / "b.md"])
    assert [file.name for file in found] == ["root/a/c.md", "root/b.md", "root/inside.md"]


def test_files_of_one_name_keep_apart(tmp_path: Path) -> None:
    for name in ("x/docs/a.md", "y/docs/a.md", "y/docs/b.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    found = files.collect([tmp_path / "x" / "docs", tmp_path / "y" / "docs"])
    names = [file.name for file in found]
    assert len(set(names)) == 3
    assert all(name.endswith(("docs/a.md", "docs/b.md")) for name in names)


async def test_a_page_is_ingested_by_its_url(program: Program) -> None:
    html = "<title>Leave</title><h1>Leave</h1><p>Everyone has 30 days of holiday.</p>"
    async with serving({"/leave.php": page(html), "/picture": PICTURE}) as site, program.up() as up:
        await up.ready()
        url = f"http://127.0.0.1:{site.port}/leave.php?y=1"
        picture = f"http://127.0.0.1:{site.port}/picture"
        inner = f"http://127.0.0.2:{site.port}/"
        allowed = replace(program, variables={**program.variables, **ALLOWED})

        first = await allowed.run("ingest", f"{url}#top", picture, inner, "--json")
        assert first.code == 4
        items = {one["name"]: one for one in json.loads(first.out)["items"]}
        assert items[url]["status"] == "added"
        assert "it is image/png" in items[picture]["error"]
        assert "web_allow" in items[inner]["error"]

        found = await program.run("search", "days of holiday")
        assert f"{url}, Leave" in found.out
    assert len(site.got) == 2


def test_an_argument_is_a_page_where_it_is_a_url() -> None:
    assert ingesting.address("docs/a.md") is None
    page_ = ingesting.address("HTTP://A.example/b c".replace(" ", "%20") + "#d")
    assert page_ is not None
    assert page_.name == "http://a.example/b%20c"
    with pytest.raises(AddressError, match="user name or password"):
        ingesting.address("https://user:pass@a.example/")
