"""A kernel that has IPython among its packages: rich outputs, magics, errors worth reading."""

from __future__ import annotations

import struct
import sysconfig
import zlib
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_asyncio

from tests.tools.sandbox.conftest import required
from tools.sandbox import guest_packages, interpreter
from tools.sandbox.find import open_sandbox, python_to_equip
from tools.sandbox.sandbox import Limits, Listener, Outcome, Output, OutputKind, Sandbox, Session

pytestmark = [
    pytest.mark.skipif(find_spec("IPython") is None, reason="IPython: make test has it"),
    pytest.mark.asyncio(loop_scope="module"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def notebook(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sandbox]:
    """The packages of the tests' own environment stand in for installed ones."""
    own = interpreter.interpreters()[0]
    packages = Path(sysconfig.get_path("purelib"))
    if interpreter.is_root() and not interpreter.anybody_may_read(packages):
        pytest.skip("the tests' own packages lie where only root may enter")
    folder = tmp_path_factory.mktemp("packages")
    (folder / f"python{own.version}").symlink_to(packages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter, "interpreters", lambda: [own])
        sandbox = required(await open_sandbox(packages=folder, limits=Limits(seconds=60.0)))
    yield sandbox
    await sandbox.close()


@pytest_asyncio.fixture(loop_scope="module")
async def session(notebook: Sandbox) -> AsyncIterator[Session]:
    opened = await notebook.create()
    yield opened
    await opened.close()


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes((width + 1) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


async def test_an_object_is_shown_in_its_forms(session: Session) -> None:
    code = f"""
class Table:
    def __repr__(self): return "a  b"
    def _repr_html_(self): return "<table>"
    def _repr_svg_(self): return "<svg>"
    def _repr_png_(self): return {_png(2, 3)!r}
display(Table())
Table()
"""
    told: list[Output] = []
    execution = await session.run(code, listener=Listener(output=told.append))
    assert execution.stderr == ""
    forms = {"text": "a  b", "html": "<table>", "svg": "<svg>", "png": _png(2, 3)}
    assert execution.outputs == (
        Output(kind=OutputKind.DISPLAY, **forms),  # type: ignore[arg-type]
        Output(kind=OutputKind.RESULT, **forms),  # type: ignore[arg-type]
    )
    assert tuple(told) == execution.outputs


async def test_a_picture_that_would_be_huge_is_left_out_and_said(session: Session) -> None:
    execution = await session.run(
        f"from IPython.display import Image\nImage({_png(8000, 8000)!r}, format='png')"
    )
    (output,) = execution.outputs
    assert (output.png, output.left_out) == (
        b"",
        ("image/png of 8000 x 8000: 25,000,000 pixels at most",),
    )


async def test_outputs_without_end_are_cut(session: Session) -> None:
    execution = await session.run("for number in range(5000): display(number)")
    assert execution.output_truncated
    assert [output.text for output in execution.outputs] == [str(n) for n in range(32)]


async def test_an_error_names_the_lines_of_the_cell_alone(session: Session) -> None:
    await session.run("def half(n):\n    return n / 0")
    execution = await session.run("half(1)")
    assert (execution.outcome, execution.exit_code) == (Outcome.FAILED, 1)
    assert "site-packages" not in execution.stderr
    assert "IPython" not in execution.stderr
    assert 'File "<cell 1>", line 2, in half' in execution.stderr
    assert execution.stderr.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("import asyncio; await asyncio.sleep(0); 5", "5"),
        ("x = 4\n_ = x\n_ + 1", "5"),
        ("%who_ls int\n5", "5"),
        ("5;", ""),
    ],
    ids=["await", "underscore", "magic", "semicolon"],
)
async def test_it_reads_what_a_notebook_reads(session: Session, code: str, shown: str) -> None:
    execution = await session.run(code)
    assert (execution.outcome, execution.stderr) == (Outcome.FINISHED, "")
    assert (execution.outputs[-1].text if execution.outputs else "") == shown


@pytest.mark.parametrize("code", ["this is no python", "def f(:", "  x = 1\n y = 2"])
async def test_code_that_does_not_parse_is_an_error(session: Session, code: str) -> None:
    execution = await session.run(code)
    assert execution.outcome is Outcome.FAILED
    assert "Error" in execution.stderr


async def test_an_exit_is_not_the_end(session: Session) -> None:
    assert (await session.run("exit()")).outcome is Outcome.FINISHED
    assert (await session.run("import sys; sys.exit(3)")).exit_code == 3
    assert (await session.run("1 + 1")).outputs[0].text == "2"


async def test_packages_can_be_read_and_not_written(session: Session) -> None:
    execution = await session.run(
        "import numpy\nprint(int(numpy.arange(4).sum()))\nopen('/opt/packages/x', 'w')"
    )
    assert execution.stdout == "6\n"
    assert "Read-only file system" in execution.stderr


async def test_all_memory_taken_is_an_error_and_variables_stay(session: Session) -> None:
    execution = await session.run("kept = 1\nhoard = []\nwhile True: hoard.append(bytes(10**7))")
    assert execution.outcome is Outcome.OUT_OF_MEMORY
    assert (await session.run("del hoard\nkept")).outputs[0].text == "1"


async def test_a_plot_is_a_figure(session: Session) -> None:
    if find_spec("matplotlib") is None:
        pytest.skip("matplotlib is not among the packages")
    execution = await session.run("import matplotlib.pyplot as plt\nplt.plot([1, 2]);")
    assert [output.png[:4] for output in execution.outputs] == [b"\x89PNG"]


async def test_packages_that_the_guest_cannot_reach_are_not_there(tmp_path: Path) -> None:
    """As root, the user that code runs as cannot enter every folder; sessions go on without."""
    python = python_to_equip()
    if python is None:
        pytest.skip("no Python that the sandbox could use")
    folder = tmp_path / "private" / f"python{python.version}"
    (folder / "IPython").mkdir(parents=True)
    folder.parent.chmod(0o700)
    found = guest_packages.of(folder.parent, python, users=(60900,))
    assert found is None
    assert guest_packages.of(folder.parent, python, users=()) == folder.resolve()
