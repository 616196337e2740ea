"""A folder that is ingested again, and one that is watched: its documents follow its files."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.server.cli.program import PATIENCE, Program, Running


async def listed(program: Program) -> dict[str, dict[str, Any]]:
    shown = await program.run("documents", "list", "--json")
    assert shown.code == 0, shown.err
    return {one["source"]: one for one in json.loads(shown.out)["items"]}


@pytest.mark.siege
async def test_documents_follow_the_files_of_their_folder(program: Program, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    (docs / "deep").mkdir(parents=True)
    for name in ("a.md", "b.md", "deep/c.md", "other.md"):
        (docs / name).write_text(f"# Of {name}\n\nWords of {name}.\n")
    other = tmp_path / "other.md"
    other.write_text("No file of the folder.")
    async with program.up() as running:
        await running.ready()
        first = await program.run("ingest", str(docs), str(other))
        assert first.code == 0, first.err
        before = await listed(program)
        assert set(before) == {
            *("docs/a.md", "docs/b.md", "docs/deep/c.md", "docs/other.md", "other.md")
        }

        shown = await program.run("documents", "show", before["docs/a.md"]["document_id"])
        assert shown.code == 0
        for words in ("docs/a.md", "Of a.md", "Words of a.md.", "text/markdown"):
            assert words in shown.out
        told = await program.run("documents", "show", before["docs/a.md"]["document_id"], "--json")
        assert json.loads(told.out)["passages"][0]["text"] == "Words of a.md."
        assert (await program.run("documents", "show", "nothing")).code == 2

        (docs / "a.md").rename(docs / "deep" / "renamed.md")
        (docs / "b.md").unlink()
        (docs / "other.md").write_text("Changed.")
        other.unlink()
        kept = await program.run("ingest", str(docs / "deep"), "--keep", "--json")
        assert [one["status"] for one in json.loads(kept.out)["items"]] == ["added"] * 2
        again = await program.run("ingest", str(docs))
        assert again.code == 0, again.err
        assert "added 0, unchanged 1, updated 1, moved 1, deleted 1, skipped 0" in again.out
        assert "moved docs/a.md to docs/deep/renamed.md" in again.err
        assert "deleted docs/b.md: its file is gone" in again.err
        after = await listed(program)
        assert set(after) == {
            *("docs/deep/renamed.md", "docs/deep/c.md", "docs/other.md", "other.md"),
            *("deep/renamed.md", "deep/c.md"),
        }

        # As where it was a disk that is not mounted.
        shutil.rmtree(docs)
        assert (await program.run("ingest", str(docs))).code == 2
        docs.mkdir()
        assert (await program.run("ingest", str(docs))).code == 2
        assert set(await listed(program)) == set(after)


async def says(running: Running, words: str) -> None:
    await running.says(re.compile(re.escape(words)))


@pytest.mark.siege
async def test_a_watched_folder_is_followed_until_ctrl_c(program: Program, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "a.md").write_text("# A\n\nThe first.\n")
    async with program.up() as up:
        await up.ready()
        async with program.running("ingest", str(docs), "--watch") as watch:
            await says(watch, "watching ")
            (docs / "b.md").write_text("# B\n\nThe second.\n")
            await says(watch, "added docs/b.md (1 passages)")
            (docs / "bad.pdf").write_bytes(b"%PDF-1.7 and nothing")
            await says(watch, "skipped docs/bad.pdf")
            (docs / "a.md").write_text("# A\n\nThe first, changed.\n")
            await says(watch, "updated docs/a.md")
            (docs / "e\x1b[2J.md").write_text("# E\n\nA name that clears the screen.\n")
            await says(watch, "added docs/eU+001B[2J.md")
            (docs / "e\x1b[2J.md").write_text("")
            await says(watch, "deleted docs/e[2J.md: its file is gone or empty")
            (docs / "b.md").rename(docs / "c.md")
            await says(watch, "moved docs/b.md to docs/c.md")
            (docs / "c.md").unlink()
            await says(watch, "deleted docs/c.md: its file is gone")
            docs.rename(tmp_path / "away")
            await says(watch, "is gone; nothing is deleted")
            (tmp_path / "away").rename(docs)
            (docs / "d.md").write_text("# D\n\nThe last.\n")
            await says(watch, "added docs/d.md")
            watch.process.send_signal(signal.SIGINT)
            await says(watch, "stopped watching")
            async with asyncio.timeout(PATIENCE):
                assert await watch.process.wait() == 0
        assert set(await listed(program)) == {"docs/a.md", "docs/d.md"}
