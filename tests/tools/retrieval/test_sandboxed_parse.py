"""Parsing in a process that can be killed."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.tools.retrieval.making import PAGE, pdf, word
from tools.retrieval.errors import NeedsOcr, ParseError, ParseTimeout, TooLarge
from tools.retrieval.parse import InlineParser, Limits
from tools.retrieval.sandboxed_parse import SandboxedParser
from tools.retrieval.sniff import Format


@pytest.fixture
async def parser() -> AsyncIterator[SandboxedParser]:
    opened = SandboxedParser()
    yield opened
    await opened.close()


def workers() -> list[int]:
    """The process ids of this process's children that parse."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"tools.retrieval.parse_worker" in command:
                found.append(int(child))
    return found


def environment_of(process: int) -> bytes:
    return Path(f"/proc/{process}/environ").read_bytes()


async def test_the_worker_gives_what_parsing_here_gives(parser: SandboxedParser) -> None:
    for data, name in (
        (pdf("One.", "", "Three."), "a.pdf"),
        (word(), "a.docx"),
        (PAGE.encode(), "a.html"),
        (b"# Head\n\nBody \xc3\xa9.", "a.md"),
    ):
        assert await parser.parse(data, name=name) == await InlineParser().parse(data, name=name)
    forced = await parser.parse(b"# Head", name="a", format=Format.MARKDOWN)
    assert forced.title == "Head"


async def test_one_worker_serves_many_files_and_survives_bad_ones(parser: SandboxedParser) -> None:
    await parser.parse(b"One.", name="a.txt")
    before = workers()
    with pytest.raises(NeedsOcr, match=r"^scan\.pdf: "):
        await parser.parse(pdf(""), name="scan.pdf")
    await parser.parse(b"Two.", name="a.txt")
    assert workers() == before
    assert len(before) == 1


async def test_files_at_once_wait_for_the_worker(parser: SandboxedParser) -> None:
    texts = [f"Text {number}." for number in range(8)]
    found = await asyncio.gather(*(parser.parse(text.encode(), name="a.txt") for text in texts))
    assert [one.text for one in found] == texts
    assert len(workers()) == 1


async def test_a_file_over_the_time_limit_is_told_and_its_worker_is_gone() -> None:
    parser = SandboxedParser(limits=Limits(seconds=0.01))
    with pytest.raises(ParseTimeout, match=r"^slow\.txt: not read within 0\.01 s; split it"):
        await parser.parse(b"Text.", name="slow.txt")
    assert workers() == []
    await parser.close()


async def test_a_caller_who_gives_up_leaves_no_worker_behind(parser: SandboxedParser) -> None:
    await parser.parse(b"One.", name="a.txt")
    [worker] = workers()
    os.kill(worker, signal.SIGSTOP)
    waiting = asyncio.create_task(parser.parse(b"Two.", name="a.txt"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert workers() == []
    assert (await parser.parse(b"Three.", name="a.txt")).text == "Three."


async def test_a_worker_that_died_in_between_is_replaced(parser: SandboxedParser) -> None:
    await parser.parse(b"One.", name="a.txt")
    [worker] = workers()
    os.kill(worker, signal.SIGKILL)
    assert (await parser.parse(b"Two.", name="a.txt")).text == "Two."
    assert workers() != [worker]


async def test_a_file_that_crashes_its_worker_is_named() -> None:
    # With so little memory the worker cannot even read its request.
    parser = SandboxedParser(limits=Limits(max_memory=1_000_000))
    with pytest.raises(ParseError, match=r"^a\.txt: "):
        await parser.parse(b"x" * 1_000_000, name="a.txt")
    assert workers() == []
    await parser.close()


async def test_a_file_that_needs_too_much_memory_is_told() -> None:
    parser = SandboxedParser(limits=Limits(max_memory=400_000_000))
    with pytest.raises(TooLarge, match=r"^big\.txt: reading it takes more than 0\.4 GB"):
        await parser.parse("wörter ".encode() * 9_000_000, name="big.txt")
    assert (await parser.parse(b"Small.", name="a.txt")).text == "Small."
    await parser.close()


async def test_the_worker_sees_nothing_of_the_environment(
    parser: SandboxedParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTERPOINT_MODEL_KEY", "secret")
    await parser.parse(b"One.", name="a.txt")
    [worker] = workers()
    environment = environment_of(worker)
    assert {entry.partition(b"=")[0] for entry in environment.split(b"\0") if entry} == {
        b"PATH",
        b"LANG",
        b"PYTHONPATH",
    }


async def test_a_worker_does_not_outlive_its_parent() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio; from tests.tools.retrieval import test_sandboxed_parse as tests;"
        "asyncio.run(tests.parse_and_wait())",
        cwd=Path(__file__).parents[3],
        env={"PATH": os.defpath},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(30):
        worker = os.pidfd_open(int(await process.stdout.readline()))
        process.kill()
        await process.wait()
    ended, _, _ = await asyncio.to_thread(select.select, [worker], [], [], 30)
    os.close(worker)
    assert ended


async def parse_and_wait() -> None:
    """What the killed parent runs: its worker is stopped, so that no end of stdin reaches it."""
    await SandboxedParser().parse(b"One.", name="a.txt")
    [worker] = workers()
    os.kill(worker, signal.SIGSTOP)
    print(worker, flush=True)
    await asyncio.Event().wait()


async def test_closing_ends_the_workers(parser: SandboxedParser) -> None:
    await parser.parse(b"One.", name="a.txt")
    await parser.close()
    assert workers() == []
    with pytest.raises(RuntimeError, match="closed"):
        await parser.parse(b"Two.", name="a.txt")
