"""Scans, read by the real Tesseract where it is installed, and by what stands in for a bad one."""

from __future__ import annotations

import asyncio
import io
import os
import re
import select
import shutil
from pathlib import Path

import pypdfium2
import pytest
from reportlab.lib.pagesizes import A6, landscape
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas

from tests.tools.retrieval.making import message
from tools.retrieval.errors import NeedsOcr
from tools.retrieval.ocr import LANGUAGES, Ocr, Recognizer
from tools.retrieval.parse import InlineParser, Limits, parse
from tools.retrieval.sandboxed_parse import SandboxedParser, _MoreTime

LIBRARY = """The library opens at nine on Mondays
and closes when the last reader leaves.
Books are lent for three weeks, and
nobody pays for bringing them late.
Ask Miriam for the key of the archive."""
HOLIDAY = """Holidays are taken in August, when
the workshop stands still and quiet.
Whoever stays waters the plants each
evening, feeds the cat, and writes down
who telephoned and what they wanted."""
PIXELS = bytes(range(256)) * 4


@pytest.fixture(scope="session")
def tesseract() -> str:
    program = shutil.which("tesseract")
    if program is None:
        pytest.skip("tesseract is not installed (Debian package tesseract-ocr)")
    return program


@pytest.fixture(scope="session")
def scan() -> bytes:
    """Two pages of text as pictures, the second turned, one of text, and one of nothing."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A6)
    canvas.drawImage(picture(LIBRARY, 0), 0, 0, *A6)
    canvas.showPage()
    canvas.setPageSize(landscape(A6))
    canvas.drawImage(picture(HOLIDAY, 90), 0, 0, *landscape(A6))
    canvas.showPage()
    canvas.drawString(72, 200, "Typed words.")
    canvas.showPage()
    canvas.rect(0, 0, 1, 1, stroke=0)
    canvas.showPage()
    canvas.save()
    return out.getvalue()


def picture(lines: str, turn: int) -> ImageReader:
    """A page of ``lines`` as a picture, turned clockwise."""
    out = io.BytesIO()
    canvas = Canvas(out, pagesize=A6)
    for down, line in enumerate(lines.split("\n")):
        canvas.drawString(30, 380 - 20 * down, line)
    canvas.save()
    page = pypdfium2.PdfDocument(out.getvalue())[0]
    return ImageReader(page.render(scale=3, rotation=turn, grayscale=True).to_pil())


async def test_scanned_pages_are_read_also_turned_ones(tesseract: str, scan: bytes) -> None:
    parser = SandboxedParser(ocr=Ocr(program=tesseract))
    parsed = await parser.parse(scan, name="scan.pdf")
    await parser.close()
    assert (parsed.pages_by_ocr, parsed.pages_without_text) == ((1, 2), (4,))
    by_page = {section.page: " ".join(section.text.split()) for section in parsed.sections}
    assert "The library opens at nine on Mondays" in by_page[1]
    assert "Holidays are taken in August" in by_page[2]
    assert by_page[3] == "Typed words."


def test_a_language_that_is_not_installed_is_told(tesseract: str, scan: bytes) -> None:
    recognizer = Recognizer(Ocr(program=tesseract, languages="tlh"))
    with pytest.raises(NeedsOcr, match=r"^scan\.pdf: .*has not the language tlh; install its"):
        parse(scan, name="scan.pdf", limits=Limits(), recognizer=recognizer)


def test_a_picture_of_nothing_is_not_handed_to_tesseract() -> None:
    recognizer = Recognizer(Ocr(program="/nowhere"))
    assert recognizer.text(b"\xff" * 100, width=10, height=10, name="a") == ""


def test_a_program_that_is_gone_is_told() -> None:
    recognizer = Recognizer(Ocr(program="/nowhere/tesseract"))
    with pytest.raises(NeedsOcr, match=r"^a: .*/nowhere/tesseract does not start"):
        recognizer.text(PIXELS, width=32, height=32, name="a")


def script(folder: Path, lines: str) -> str:
    """A program that stands in for Tesseract."""
    made = folder / "tesseract"
    made.write_text(f"#!/bin/sh\n{lines}\n")
    made.chmod(0o755)
    return str(made)


@pytest.fixture
def slow(tmp_path: Path) -> str:
    return script(tmp_path, "exec sleep 600")


def test_a_page_over_its_time_counts_as_textless_and_the_document_has_one_too(slow: str) -> None:
    told: list[float] = []
    recognizer = Recognizer(Ocr(program=slow, page_seconds=1.0, seconds=1.9), more_time=told.append)
    found = [recognizer.text(PIXELS, width=32, height=32, name="a") for _ in range(4)]
    assert found == [None] * 4
    assert told[0] == 1.0
    assert len(told) <= 2


async def test_pages_that_could_not_be_read_in_time_leave_the_rest(slow: str, scan: bytes) -> None:
    parser = SandboxedParser(
        limits=Limits(seconds=30), ocr=Ocr(program=slow, page_seconds=1.0, seconds=1.0)
    )
    parsed = await parser.parse(scan, name="scan.pdf")
    await parser.close()
    assert parsed.text == "Typed words."
    assert parsed.pages_without_text == (1, 2, 4)
    assert parsed.pages_by_ocr == ()


async def test_reading_scans_puts_the_deadline_off_but_not_for_ever() -> None:
    async with asyncio.timeout(1_000) as deadline:  # noqa: ASYNC100 - looked at, not waited for
        before = deadline.when()
        assert before is not None
        more = _MoreTime(deadline, 10.0)
        for seconds in (4.0, 8.0, 1.0):
            more(seconds)
        assert deadline.when() == pytest.approx(before + 10.0)


async def test_a_scan_attached_to_a_message_is_read(tmp_path: Path, scan: bytes) -> None:
    program = script(tmp_path, "cat >/dev/null; echo some words read")
    mail = message(("scan.pdf", scan))
    parsed = await InlineParser(ocr=Ocr(program=program)).parse(mail, name="a.eml")
    assert parsed.text.count("some words read") == 2


async def test_a_killed_worker_takes_tesseract_along(tmp_path: Path, scan: bytes) -> None:
    told = tmp_path / "pid"
    os.mkfifo(told)
    program = script(tmp_path, f"echo $$ >{told}; exec sleep 600")
    parser = SandboxedParser(ocr=Ocr(program=program))
    waiting = asyncio.create_task(parser.parse(scan, name="scan.pdf"))
    child = os.pidfd_open(int(await asyncio.to_thread(told.read_text)))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    ended, _, _ = await asyncio.to_thread(select.select, [child], [], [], 30)
    os.close(child)
    assert ended
    await parser.close()


def test_signs_read_off_a_photograph_are_no_text(tmp_path: Path) -> None:
    noise = Recognizer(Ocr(program=script(tmp_path, "cat >/dev/null; echo '| ~ a -- ,; e |'")))
    assert noise.text(PIXELS, width=32, height=32, name="a") == ""


@pytest.mark.parametrize(
    ("languages", "fits"),
    [("eng", True), ("eng+deu", True), ("chi_sim", True), ("../x", False), ("eng+", False)],
)
def test_languages_are_names_and_no_paths(languages: str, *, fits: bool) -> None:
    assert (re.match(LANGUAGES, languages) is not None) is fits
