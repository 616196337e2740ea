"""Every document of ../shared/data/docs leads to what its MANIFEST.json says."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import pypdfium2
import pytest

from tests.tools.retrieval.test_sandboxed_parse import workers
from tools.retrieval.documents import Kind, Parsed
from tools.retrieval.errors import ParseError
from tools.retrieval.ocr import Ocr
from tools.retrieval.parse import Limits
from tools.retrieval.sandboxed_parse import SandboxedParser

# The error, or words of the text in this order.
AWKWARD: dict[str, str | tuple[str, ...]] = {
    # Down the first column, then down the second.
    "two_column_paper.pdf": (
        "retrieval can be practically implemented using dense",
        "Open-domain question answering (QA) (Voorhees,",
        "4Exceptions include (Seo et al., 2019)",
    ),
    "paper_with_table.pdf": (
        "Table 1: Current layout detection models",
        "| Dataset | Base Model1 | Large Model | Notes |",
        "| PubLayNet [38] | F / M | M | Layouts of modern scientific documents |",
        "| HJDataset [31] | F / M | - | Layouts of history Japanese documents |",
        "1 For each dataset, we train several models",
        "3.1 Layout Detection Models",
    ),
    "scanned_no_text.pdf": "NeedsOcr",
    "scan_with_ocr_layer.pdf": ("posted on the progress of the Foundation",),
    "ocr_rotated_90.pdf": "NeedsOcr",
    "table_borderless_invoice.pdf": (
        "Report ID: SPARSE-2024-INV-1234",
        "| Product Code | Location | Expected | Actual | Variance | Status |",
        "| SKU-4563 | D-22 | | 156 | | CRITICAL |",
        "Total Variance Cost: $4,287.50",
        "| SKU-5512 | Hardware | $89.00 | $31,150.00 | | Pending |",
    ),
    "table_nics.pdf": (
        "NICS Firearm Background Checks November - 2015",
        "| State / Territory | Permit | Handgun | Long Gun |",
        "| Pre-Pawn Handgun | Pre-Pawn Long Gun | Pre-Pawn *Other | Redemption Handgun |",
        "| Return to Seller - Private Sale *Other | Totals |",
        "| Alabama | 18,870 | 23,022 | 22,650 | 859 |",
        "| Guam | 0 | 100 | 55 | 12 | 3 | 0 | 0 | 0 | 0 | 1 |",
        "| Hawaii | 1,248 | 0 | 0 | 0 | 0 |",
        "| Wyoming | 383 | 1,745 |",
        "Page 1 of 205",
    ),
    "long_report_619p.pdf": ("After Loghain's betrayal of King Cailan at Ostagar",),
    "encrypted_user_password.pdf": "EncryptedDocument",
    "encrypted_empty_password.pdf": ("pdf encryption test",),
    "copy_protected.pdf": ("LayoutParser: A Unified Toolkit for Deep", "Abstract."),
    "malformed.pdf": ("2021 3 31",),
    "empty_0bytes.pdf": "EmptyDocument",
    "with_attachment.pdf": (
        "Lorem ipsum dolor sit amet",
        "Attachment image.png",
        "Not read: image.png: a PNG image",
    ),
    "arabic_rtl.pdf": ("habibi", "يبيبَح"),
    "shareholder_letter.pdf": ("Dear Shareholders:", "Last year at this time"),
    "docx_tables.docx": (
        "| Header Col 1 | Header Col 2 |",
        "| Lorem ipsum | A link example |",
        "| a | >b< | c |",
        "| d | e, f; g&t, h; | i |",
        "| j | k | l |",
        "| e | | d |",
    ),
    "docx_header_footer.docx": ("Main document", "First header para", "Table cell1, Table cell2"),
    "docx_with_comments.docx": (
        "AutoGen",
        "| 13 | 14 | 49e168b7-d2ae-407f-a055-2167576f39a1 | 15 | 16 | 17 |",
        "Comment by Unknown Author: This is a test comment. 12df-321a",
        "Yet another comment in the doc. 55yiyi-asd09",
    ),
    "docx_equations.docx": (
        "sinθ=mλ/a=((1)(550×10^(-6) mm))/(2.5 mm)=2.2×10^(-4)",
        "From Eq. 36.1.3,",
        "a/λ=m/sinθ=1/(sin45.0^∘)=1.41.",
    ),
    "html_huge_10k.html": (
        "Galaxy Gaming, Inc.",
        "| Title of each class | Trading symbol | Name of exchange on which registered |",
        "| Common stock | GLXZ | OTCQB marketplace |",
    ),
    "html_wikipedia.html": ("Mallard landing in approach",),
    "html_blog.html": ("TL;DR", "Experiment Setup"),
    "html_cp1252.html": ("15,50 €", "très chaud", "niño", "¡Qué rico!"),
    "html_scripts.html": ("Russian Offensive Campaign Assessment", "Dec 13, 2022 - Press ISW"),
    "html_pre.htm": ("[107th Congress Public Law 56]", "UNITING AND STRENGTHENING AMERICA"),
    "text_utf16le.txt": ("Doylestown, PA 18901", "- I love fuzzy blankets"),
    "text_utf32.txt": ("Doylestown, PA 18901", "- I love fuzzy blankets"),
    "text_whitespace_only.txt": "EmptyDocument",
    "text_many_languages.txt": ("Alle Menschen sind frei",),
    "text_war_and_peace.txt": ("Well, Prince, so Genoa and Lucca",),
    "text_latin1.txt": ("Café déjà vu - naïve façade, señor Núñez",),
    "markdown_code.md": ("```",),
    "markdown_table.md": ("|",),
    "markdown_lang.md": ("All human beings are born free and equal in dignity",),
    "corrupt_truncated.pdf": "DamagedDocument",
    "corrupt_garbage.pdf": "DamagedDocument",
    "mislabelled_docx.txt": ("| Header Col 1 | Header Col 2 |", "| d | e, f; g&t, h; | i |"),
    "corrupt_docx.docx": "DamagedDocument",
    "zipbomb_60MB.docx": "TooLarge",
}
# With Tesseract.
SCANS = {
    "scanned_no_text.pdf": (
        "SEATTLE GENERAL HOSPITAL",
        "Report ID: MEDRPT-2024-PAT-3847",
        "PHYSICAL EXAMINATION",
        "HEADACHE MANAGEMENT",
    ),
    "ocr_rotated_90.pdf": ("Docling bundles PDF document conversion to",),
}
MARKDOWN_TABLES = {
    "paper_with_table.pdf": 1,
    "table_borderless_invoice.pdf": 2,
    "table_nics.pdf": 1,
    "two_column_paper.pdf": 0,
    "shareholder_letter.pdf": 0,
    "long_report_619p.pdf": 0,
    "docx_tables.docx": 3,
}
NO_SCRIPT = ("function(", "var _gaq", "jQuery")


async def test_every_awkward_document_leads_to_what_it_should(awkward: Path) -> None:
    parser = SandboxedParser()
    listed = {one["file"] for one in json.loads((awkward / "MANIFEST.json").read_text("utf-8"))}
    assert listed == set(AWKWARD)
    for name, expected in AWKWARD.items():
        data = (awkward / name).read_bytes()
        if isinstance(expected, str):
            with pytest.raises(ParseError, match=f"^{name}: ") as raised:
                await parser.parse(data, name=name)
            assert raised.type.__name__ == expected, name
        else:
            holds(await parser.parse(data, name=name), expected, name)
    assert len(workers()) == 1
    await parser.close()


@pytest.mark.parametrize(
    ("name", "pages"),
    [
        ("ocr_rotated_90.pdf", 1),
        pytest.param("scanned_no_text.pdf", 3, marks=pytest.mark.long),
    ],
)
async def test_the_scans_among_them_are_read_with_tesseract(
    awkward: Path, name: str, pages: int
) -> None:
    program = shutil.which("tesseract")
    if program is None:
        pytest.skip("tesseract is not installed (Debian package tesseract-ocr)")
    parser = SandboxedParser(ocr=Ocr(program=program))
    parsed = await parser.parse(first_pages(awkward / name, pages), name=name)
    await parser.close()
    assert parsed.pages_by_ocr == tuple(range(1, pages + 1))
    holds(parsed, SCANS[name][: 2 * pages], name)


def first_pages(path: Path, count: int) -> bytes:
    """A page of a scan takes seconds."""
    made, out = pypdfium2.PdfDocument.new(), io.BytesIO()
    made.import_pages(pypdfium2.PdfDocument(path), list(range(count)))
    made.save(out)
    return out.getvalue()


def holds(parsed: Parsed, expected: tuple[str, ...], name: str) -> None:
    """Fails unless the words are there in order, each section is where it says, none is empty."""
    text = " ".join(parsed.text.split())
    place = 0
    for words in expected:
        found = text.find(words, place)
        assert found >= 0, (name, words)
        place = found + len(words)
    assert len(parsed.text) <= Limits().max_unpacked
    for section in parsed.sections:
        assert section.text.strip(), name
        assert parsed.text[section.start : section.start + len(section.text)] == section.text
    if name.startswith("html"):
        assert not any(words in parsed.text for words in NO_SCRIPT), name
    if name in MARKDOWN_TABLES:
        found_tables = [one for one in parsed.sections if one.kind is Kind.TABLE]
        assert len(found_tables) == MARKDOWN_TABLES[name], name
