"""A user's files in the work folder, and what a model is told of them."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tools.sandbox.conftest import required
from tools import file_preview_guest
from tools.file_preview import CHARACTERS, NamedFiles, SandboxFiles, told
from tools.run_python import RunPython, run_python
from tools.sandbox.find import open_sandbox
from tools.sandbox.sandbox import Limits, Sandbox
from tools.sandbox.scripted import ScriptedSandbox, Step, finished
from tools.sandbox.threads import ThreadSessions
from tools.tool import ToolContext
from tools.uploads import MemoryUploads, Upload, lay

PLACE = ("t", "thread")
CONTEXT = ToolContext(tenant="t", collection="c", run_id="r", call_id="1", thread_id="thread")


def uploads(**files: bytes) -> MemoryUploads:
    return MemoryUploads({PLACE: {name.replace("_", "."): one for name, one in files.items()}})


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    opened = required(await open_sandbox(limits=Limits(seconds=60.0)))
    yield opened
    await opened.close()


async def test_code_reads_what_the_user_gave_also_after_a_sleep(sandbox: Sandbox) -> None:
    sessions = ThreadSessions(sandbox, idle_seconds=0)
    tool = run_python(sessions, uploads=uploads(a_csv=b"x\n1\n"))
    read = RunPython(code="print(open('a.csv').read())")
    assert (await tool.call(read, CONTEXT)).content == "x\n1"
    assert await sessions.put_to_sleep() == 1
    assert (await tool.call(read, CONTEXT)).content.endswith(
        "x\n1\n[this is a new session: earlier variables are gone]"
    )
    other = replace(CONTEXT, thread_id="other")
    assert not (await tool.call(read, other)).ok
    await sessions.close()


async def test_a_file_that_came_later_lies_there_and_what_code_wrote_stays() -> None:
    sandbox = ScriptedSandbox([Step(execution=finished(), files={"a.csv": b"changed"})])
    session = await sandbox.create()
    laid: dict[str, str] = {}
    there = uploads(a_csv=b"given")
    assert await lay(session, there, laid=laid, tenant="t", thread_id="thread") == []
    await session.run("change it")
    later = uploads(a_csv=b"given", b_csv=b"later")
    assert await lay(session, later, laid=laid, tenant="t", thread_id="thread") == []
    assert await session.get("a.csv") == b"changed"
    assert await session.get("b.csv") == b"later"
    assert await lay(session, later, laid=laid, tenant="other", thread_id="thread") == []


@pytest.mark.parametrize("sleeps", [False, True])
async def test_what_is_given_again_under_a_name_takes_the_place_of_what_lay_there(
    *, sleeps: bool
) -> None:
    sandbox = ScriptedSandbox([finished()] * 3)
    sessions = ThreadSessions(sandbox, idle_seconds=0)
    given = {"a.csv": b"first"}
    tool = run_python(sessions, uploads=MemoryUploads({PLACE: given}))

    async def lies() -> bytes:
        await tool.call(RunPython(code="1"), CONTEXT)
        async with sessions.held("t:thread") as held:
            return await held.session.get("a.csv")

    assert await lies() == b"first"
    given["a.csv"] = b"second"
    if sleeps:
        assert await sessions.put_to_sleep() == 1
    assert await lies() == b"second"
    async with sessions.held("t:thread") as held:
        await held.session.put({"a.csv": b"changed"})
    if sleeps:
        assert await sessions.put_to_sleep() == 1
    assert await lies() == b"changed"


async def test_a_file_without_room_is_told_and_the_others_lie_there() -> None:
    sandbox = ScriptedSandbox([finished("ok\n")], limits=Limits(disk_bytes=20))
    given = uploads(big_bin=bytes(11), small=b"x")
    tool = run_python(ThreadSessions(sandbox), uploads=given)
    result = await tool.call(RunPython(code="1"), CONTEXT)
    assert result.content == (
        "ok\n[the user's file big.bin is not in the work folder: files of 11 bytes: the sandbox"
        " takes 10 at most]"
    )


async def test_of_a_file_that_finds_no_room_nothing_lies_there(sandbox: Sandbox) -> None:
    tool = run_python(ThreadSessions(sandbox), uploads=uploads(a_csv=b"1\n" * 8_000_000))
    full = "\nfor n in range(2): open(f'{n}.bin', 'wb').write(bytes(30_000_000))"
    await tool.call(RunPython(code="import os; os.remove('a.csv')" + full), CONTEXT)
    look = RunPython(code="import os; print(sorted(os.listdir())); os.remove('0.bin')")
    assert (await tool.call(look, CONTEXT)).content == (
        "['0.bin', '1.bin']\n[the user's file a.csv is not in the work folder: the file could not"
        " be written: a.csv: No space left on device]"
    )
    count = RunPython(code="print(sum(map(int, open('a.csv'))))")
    assert (await tool.call(count, CONTEXT)).content == "8000000"


async def test_files_are_told_by_how_they_begin(sandbox: Sandbox) -> None:
    sessions = ThreadSessions(sandbox)
    files = SandboxFiles(sessions, uploads(a_csv=b"name;n\nx;1\n", b_xlsx=b"PK"))
    shown = await files.shown(tenant="t", thread_id="thread")
    assert shown.splitlines() == [
        "a.csv (11 bytes)",
        "  2 line ends, utf-8, columns separated by ';'",
        "  name;n",
        "  x;1",
        "b.xlsx (2 bytes)",
        shown.splitlines()[5],
    ]
    assert await files.shown(tenant="other", thread_id="thread") == ""
    async with sessions.held("t:thread") as held:
        left = await held.session.run("print([n for n in globals() if 'preview' in n])")
    assert left.stdout == "[]\n"
    await sessions.close()


async def test_names_and_sizes_are_told_where_nothing_can_look_into_files() -> None:
    files = NamedFiles(uploads(a_csv=b"x"))
    assert await files.shown(tenant="t", thread_id="thread") == "a.csv (1 bytes)"
    # What a guest says in the place of the beginnings is not believed to be any.
    for said in ("nonsense", "[1, {}]", '{"name": 1}'):
        scripted = SandboxFiles(
            ThreadSessions(ScriptedSandbox([finished(said)])), uploads(a_csv=b"x")
        )
        assert await scripted.shown(tenant="t", thread_id="thread") == "a.csv (1 bytes)"


async def test_half_a_character_in_a_files_text_is_told_by_its_number() -> None:
    said = json.dumps([{"name": "a.csv", "text": "of a PDF: \ud835"}])
    files = SandboxFiles(ThreadSessions(ScriptedSandbox([finished(said)])), uploads(a_csv=b"x"))
    shown = await files.shown(tenant="t", thread_id="thread")
    assert shown == "a.csv (1 bytes)\n  of a PDF: \\ud835"


def test_what_is_told_of_files_is_bounded() -> None:
    many = [Upload(id=str(n), name=f"{n}.csv", bytes=n) for n in range(100)]
    text = told(many, {one.name: "x" * 10_000 for one in many})
    assert len(text) == CHARACTERS
    assert text.startswith("(80 older files are there as well)\n80.csv (80 bytes)\n  xxx")


def _preview(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    file_preview_guest.preview([str(path)])
    [one] = json.loads(capsys.readouterr().out)
    return str(one["text"])


@pytest.mark.parametrize(
    ("name", "content", "shown"),
    [
        ("a.csv", "ä,b\n1,2\n".encode(), "2 line ends, utf-8, columns separated by ','\nä,b\n1,2"),
        (
            "old.csv",
            "Größe;n\n1;2\n".encode("cp1252"),
            "2 line ends, not utf-8, perhaps cp1252, columns separated by ';'\nGröße;n\n1;2",
        ),
        ("a.json", b'{"a": 1}', '0 line ends, utf-8\n{"a": 1}'),
        ("a.bin", b"\x00\x01", "binary"),
        ("empty.csv", b"", "0 line ends, utf-8"),
        ("broken.pdf", b"no pdf", "cannot be read: "),
    ],
)
def test_text_is_told_with_encoding_and_columns(
    name: str, content: bytes, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(content)
    told_of = _preview(tmp_path / name, capsys)
    assert told_of == shown or (name == "broken.pdf" and told_of.startswith(("cannot", "PDF (")))


def test_sheets_are_told_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.title = "Sales"
    book.active.append(["region", "amount"])
    book.active.append(["north", 12.5])
    book.create_sheet("Costs")
    book.save(tmp_path / "a.xlsx")
    shown = _preview(tmp_path / "a.xlsx", capsys)
    assert shown.startswith("2 sheets\nsheet 'Sales': 2 rows, 2 columns\nregion | amount\nnorth")


def test_a_bomb_is_told_as_what_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("xl/worksheets/sheet1.xml", "<x")
    (tmp_path / "a.xlsx").write_bytes(archive.getvalue())
    assert _preview(tmp_path / "a.xlsx", capsys).startswith(("cannot be read", "1 sheets"))
