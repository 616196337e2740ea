"""Whatever the bytes, a parser gives text or an error with a name, within its limits."""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import examples
from tests.tools.retrieval.making import (
    PAGE,
    archive_with,
    deck,
    message,
    pdf,
    word,
    workbook,
)
from tests.tools.retrieval.test_sandboxed_parse import workers
from tools.retrieval.documents import Parsed
from tools.retrieval.errors import ParseError
from tools.retrieval.parse import Limits, parse
from tools.retrieval.sandboxed_parse import SandboxedParser
from tools.retrieval.sniff import Format

LIMITS = Limits(max_bytes=200_000, max_unpacked=2_000_000, max_pages=20, max_cells=10_000)
MARKDOWN = (
    b"---\ntitle: x\n---\n# A\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n> q\n1. x\n"
)
CODE = b"import os\n\n@cached\ndef f():\n    return 1\n\nclass A:\n    pass\n"
SAMPLES: dict[str, bytes] = {
    "a.pdf": pdf("First page.", "", "a b   c   d", title="x"),
    "a.docx": word(),
    "a.pptx": deck(),
    "a.xlsx": workbook(),
    "a.html": PAGE.encode(),
    "a.eml": message(("a.xlsx", workbook()), ("b.pdf", pdf("x"))),
    "a.csv": b'a;b;c\n1;"2\n2";3\n4;5\n',
    "a.md": MARKDOWN,
    "a.py": CODE,
    "a.txt": "Grüße. Second sentence.\n\nThird.".encode("utf-16"),
}
PARTS = {
    "a.docx": ("word/document.xml", "word/styles.xml", "[Content_Types].xml"),
    "a.pptx": ("ppt/slides/slide3.xml", "ppt/presentation.xml", "ppt/_rels/presentation.xml.rels"),
    "a.xlsx": ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"),
}
MUTATIONS = 8


@pytest.mark.parametrize("name", SAMPLES)
def test_a_damaged_document_is_read_or_refused_by_name(name: str) -> None:
    chance = random.Random(zlib.crc32(name.encode()))
    for number in range(MUTATIONS):
        for damaged in damages(SAMPLES[name], name, chance):
            check(damaged, name, f"{name}, mutation {number}")


@pytest.mark.parametrize("format", list(Format))
@settings(max_examples=examples.times(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_in_any_format_are_read_or_refused_by_name(format: Format, data: bytes) -> None:  # noqa: A002
    check(data, "any", repr(data), format=format)


async def test_damaged_documents_leave_the_worker_able_to_read_the_next() -> None:
    parser = SandboxedParser(limits=LIMITS)
    chance = random.Random(7)
    await parser.parse(b"Words.", name="a.txt")
    before = workers()
    for name, sample in SAMPLES.items():
        for damaged in damages(sample, name, chance):
            with contextlib.suppress(ParseError):
                await parser.parse(damaged, name=name)
    assert (await parser.parse(b"Words.", name="a.txt")).text == "Words."
    assert workers() == before
    await parser.close()


def check(data: bytes, name: str, case: str, *, format: Format | None = None) -> None:  # noqa: A002
    outcome: Parsed | ParseError
    try:
        outcome = parse(data, name=name, limits=LIMITS, format=format)
    except ParseError as error:
        outcome = error
    if isinstance(outcome, Parsed):
        within(outcome, case)
    else:
        assert "\n" not in str(outcome), case
        assert str(outcome).startswith(name), case


def within(parsed: Parsed, case: str) -> None:
    assert parsed.sections, case
    assert len(parsed.text) <= LIMITS.max_unpacked, case
    assert (parsed.pages or 0) <= LIMITS.max_pages, case
    for section in parsed.sections:
        end = section.start + len(section.text)
        assert parsed.text[section.start : end] == section.text, case
        assert section.text.strip(), case
    parsed.text.encode("utf-8")


def damages(sample: bytes, name: str, chance: random.Random) -> Iterator[bytes]:
    """The sample with bytes changed, cut out, doubled, cut short, or broken within its archive."""
    yield changed(sample, chance)
    place, length = chance.randrange(len(sample)), chance.randrange(1, 200)
    yield sample[:place] + sample[place + length :]
    yield sample[:place] + sample[place : place + length] * 3 + sample[place:]
    yield sample[:place]
    for part in PARTS.get(name, ()):
        yield archive_with(sample, part, lambda data: changed(data, chance))


def changed(data: bytes, chance: random.Random) -> bytes:
    made = bytearray(data)
    for _ in range(chance.randrange(1, 12)):
        # Digits and marks break structure where a byte at random mostly breaks the encoding.
        made[chance.randrange(len(made))] = chance.choice([chance.randrange(256), *b'0199<>/"= &'])
    return bytes(made)
